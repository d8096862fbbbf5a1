import { BOTH, type RunnableCheck } from "../check.js";

const HOUR_MS = 60 * 60 * 1000;

const OPEN =
  'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Verifying": the time is signed, no limit is given';
const SIGNED = 'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Verifying"';

const REPLAY = "Whoever got hold of a delivery can send it again";

export const TIME_CHECKS: readonly RunnableCheck[] = [
  {
    id: "time-changed",
    group: "time",
    providers: BOTH,
    level: "MUST",
    what: "A time that was changed after it was signed is refused.",
    reason: `${REPLAY}, with a new time each time.`,
    source: SIGNED,
    run: (s) =>
      s.refuses(
        { at: -10_000, sends: () => ({ time: s.provider.time(Date.now()) }) },
        { sends: ({ time }) => ({ time: `0${time}` }) },
      ),
  },
  {
    id: "time-missing",
    group: "time",
    providers: BOTH,
    level: "MUST",
    what: "A delivery whose time was taken away is refused.",
    reason: `${REPLAY}, without the time that shows its age.`,
    source: SIGNED,
    run: (s) =>
      s.refuses(
        { sends: () => ({ time: "" }) },
        {
          write: (signature) =>
            s.provider.name === "toloka"
              ? [["Toloka-Signature", `{v=${signature.version}, sign=${signature.digest}}`]]
              : s.provider.write(signature).slice(0, 1),
        },
      ),
  },
  {
    id: "time-old",
    group: "time",
    providers: BOTH,
    level: "SHOULD",
    what: "A delivery that was signed an hour ago, or years ago, is refused.",
    reason: `${REPLAY}: of Toloka's when the endpoint has forgotten it, of Prolific's under any other id, which is not signed.`,
    source: OPEN,
    run: (s) => s.refuses({ at: -HOUR_MS }, { at: -HOUR_MS * 24 * 365 * 5 }),
  },
  {
    id: "time-ahead",
    group: "time",
    providers: BOTH,
    level: "SHOULD",
    what: "A delivery that is signed with a time in an hour, or in years, is refused.",
    reason: "It would stay fresh for that long; who only asks whether it is too old lets it in.",
    source: OPEN,
    run: (s) => s.refuses({ at: HOUR_MS }, { at: HOUR_MS * 24 * 365 * 5 }),
  },
  {
    id: "time-unit",
    group: "time",
    providers: BOTH,
    level: "SHOULD",
    what: "Toloka's time is taken for milliseconds, Prolific's for seconds, and nothing else is guessed.",
    reason: "In the wrong unit no age comes out right.",
    source: SIGNED,
    run: (s) => {
      const now = Date.now();
      return s.refuses({ time: String(s.provider.name === "toloka" ? Math.floor(now / 1000) : now) });
    },
  },
  {
    id: "time-unreadable",
    group: "time",
    providers: BOTH,
    level: "SHOULD",
    what: "What is no time is refused, even if it is signed.",
    reason: "In most languages every comparison with what is not a number is false, so no limit stops it.",
    source: OPEN,
    run: (s) => s.refuses(...["NaN", "now", "-1", "1e99", "0x18", "9".repeat(400)].map((time) => ({ time }))),
  },
  {
    id: "time-close",
    group: "time",
    providers: BOTH,
    level: "SHOULD",
    what: "A delivery that was signed a minute ago, or with a clock that is five seconds ahead, is accepted.",
    reason: "Networks and queues take time, and clocks differ.",
    source: OPEN,
    run: (s) => s.accepts({ at: -60_000 }, { at: 5_000 }),
  },
];

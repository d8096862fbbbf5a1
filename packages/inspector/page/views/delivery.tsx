import { useState } from "preact/hooks";
import type {
  AnswerDetail,
  Detail,
  EventDetail,
  EventPage,
  HeaderLine,
  SignatureDetail,
} from "../../src/wire.js";
import { Body, Differences } from "../body/body.js";
import { goTo, linkTo } from "../parts/routes.js";
import { dateTime, span, Text } from "../parts/text.js";
import { get } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";
import { Actions } from "./actions.js";

interface Props {
  readonly id: number;
  /** Changes when the row of this delivery changes. */
  readonly version: string;
  /** The delivery that was chosen to compare with. */
  readonly marked: number | undefined;
  readonly onMark: (id: number) => void;
}

export function DeliveryView({ id, version, marked, onMark }: Props) {
  const { value: detail, error } = useLoaded(`${id} ${version}`, () => get<Detail>(`deliveries/${id}`));
  if (error !== undefined) return <p class="problem">{error}</p>;
  if (detail === undefined) return <p class="dim">…</p>;
  const { row, method, path, signature, headers, reply, forwarded } = detail;
  return (
    <article>
      <h1 class={row.verdict}>
        <Text text={row.words} />
      </h1>
      <p class="dim">
        #{row.id} · {method} <Text text={path ?? ""} /> · {dateTime(row.receivedAt)}
        {row.duration !== undefined && ` · ${row.duration.toFixed(1)} ms`}
        {row.replayOf !== undefined && (
          <>
            {" · sent again from "}
            <a href={linkTo("delivery", row.replayOf)}>#{row.replayOf}</a>
          </>
        )}
      </p>
      <Actions key={id} detail={detail} marked={marked} onMark={onMark} />
      {signature ? (
        <Signature id={id} reason={row.reason} signature={signature} />
      ) : (
        <Reason reason={row.reason} />
      )}
      <Events detail={detail} />
      <Section title="Body">
        {detail.bytes === undefined ? (
          <p class="dim">The body was not read.</p>
        ) : (
          <Body key={id} detail={detail} />
        )}
      </Section>
      <Section title="Headers">
        <Headers lines={headers} />
      </Section>
      {reply && <Answer title="Reply" answer={reply} />}
      {forwarded?.answer && <Answer title={`Answer of ${forwarded.url}`} answer={forwarded.answer} />}
      {forwarded?.failure !== undefined && (
        <Section title={`Answer of ${forwarded.url}`}>
          <p class="problem">
            <Text text={forwarded.failure} />
          </p>
        </Section>
      )}
      {!reply && !forwarded && (
        <Section title="Reply">
          <p class="dim">
            The reply and the outcomes are not known: the file of this delivery does not hold them.
          </p>
        </Section>
      )}
    </article>
  );
}

function Section({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <section>
      <h2>
        <Text text={title} />
      </h2>
      {children}
    </section>
  );
}

function Reason({ reason }: { readonly reason: string | undefined }) {
  if (reason === undefined) return null;
  return (
    <p class="cause">
      <Text text={reason.charAt(0).toUpperCase() + reason.slice(1)} />
    </p>
  );
}

function Signature({
  id,
  signature,
  reason,
}: {
  id: number;
  signature: SignatureDetail;
  reason: string | undefined;
}) {
  const { secret, secrets, age, mismatch } = signature;
  const cause = signature.reason ?? reason;
  const when =
    age === undefined ? "" : age < 0 ? `${span(-age)} ahead of this clock` : `${span(age)} before it arrived`;
  return (
    <>
      <Reason reason={cause} />
      {secrets === 0 && <p class="dim">Nothing is verified: there is no secret.</p>}
      {secret !== undefined && (
        <p>
          Signed with secret {secret} of {secrets}, {when}.
        </p>
      )}
      {secret === undefined && secrets > 0 && age !== undefined && (
        <p class="dim">
          {secrets === 1 ? "It does not fit the secret." : `It fits none of ${secrets} secrets.`} It was
          signed {when}.
        </p>
      )}
      {mismatch !== undefined && mismatch.differences.length > 0 && (
        <Section
          title={`Where the bytes differ: ${mismatch.differences.length} ${mismatch.differences.length === 1 ? "place" : "places"}`}
        >
          <Differences id={id} differences={mismatch.differences} />
        </Section>
      )}
      {mismatch !== undefined && mismatch.differences.length === 0 && (
        <p class="dim">The body is as it was signed. The mistake is with the {mismatch.about}.</p>
      )}
    </>
  );
}

function Events({ detail }: { readonly detail: Detail }) {
  const { id, events, provider } = detail.row;
  const [from, setFrom] = useState(0);
  const { value } = useLoaded(`${id} ${from} ${events} ${detail.row.status}`, () =>
    get<EventPage>(`deliveries/${id}/events?from=${from}`),
  );
  if (events === 0) return null;
  const { events: shown = [], from: first = 0 } = value ?? {};
  return (
    <Section title={events === 1 ? "1 event" : `${events} events`}>
      <ul class="events">
        {shown.map((event, index) => (
          <EventLine key={first + index} event={event} provider={provider ?? ""} />
        ))}
      </ul>
      {value && events > shown.length && (
        <p class="pager">
          <button type="button" disabled={from === 0} onClick={() => setFrom(Math.max(0, from - 100))}>
            Earlier
          </button>
          {first + 1}–{first + shown.length} of {events}
          <button type="button" disabled={from + 100 >= events} onClick={() => setFrom(from + 100)}>
            Later
          </button>
        </p>
      )}
    </Section>
  );
}

function EventLine({ event, provider }: { readonly event: EventDetail; readonly provider: string }) {
  const { type, id, subject, outcome, error, problems } = event;
  return (
    <li>
      <span class="line">
        <b>
          <Text text={type || "(no type)"} />
        </b>
        {outcome !== undefined && <span class={`tag ${outcome}`}>{outcome}</span>}
        <span class="dim id">
          <Text text={id} />
        </span>
        {subject !== undefined && (
          <button type="button" onClick={() => goTo("timeline", provider, subject)}>
            Timeline of <Text text={subject} />
          </button>
        )}
      </span>
      {problems?.length === 0 && <p class="dim">A type that this release does not know.</p>}
      {problems?.map((problem) => (
        <p class="problem">
          <Text text={problem} />
        </p>
      ))}
      {error !== undefined && (
        <pre class="error">
          <Text text={error} lines />
        </pre>
      )}
    </li>
  );
}

function Headers({ lines }: { readonly lines: readonly HeaderLine[] }) {
  return (
    <dl class="headers">
      {lines.map(({ name, value, isHidden }) => (
        <div>
          <dt>
            <Text text={name} />
          </dt>
          <dd class={isHidden ? "dim" : ""}>
            <Text text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

const ANSWER_MAX = 20_000;

function Answer({ title, answer }: { readonly title: string; readonly answer: AnswerDetail }) {
  const { status, headers, body } = answer;
  return (
    <Section title={title}>
      <p>
        <b class={status < 300 ? "genuine" : "refused"}>{status}</b>
      </p>
      <pre>
        <Text text={body.slice(0, ANSWER_MAX)} lines />
      </pre>
      {body.length > ANSWER_MAX && <p class="dim">… {body.length} characters</p>}
      <details>
        <summary>{headers.length} headers</summary>
        <Headers lines={headers} />
      </details>
    </Section>
  );
}

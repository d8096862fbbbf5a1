import { createAdmission } from "./admission.js";
import { parseJson, readBody } from "./body.js";
import { type BodyFailure, type Delivery, type IncomingDelivery, toHeaders } from "./delivery.js";
import { createDispatcher } from "./dispatch.js";
import { type ErrorCode, kindOf } from "./errors.js";
import type { EventMap, EventType, ReceivedEvent } from "./event.js";
import { contextsOf, sinkContext } from "./listeners/context.js";
import { createListeners, type ListenerContext, type Listening } from "./listeners/registry.js";
import { createLog, quoted } from "./observing/log.js";
import { instrumented, observed, type Trace } from "./observing/observe.js";
import { checkOptions, type ReceiverOptions } from "./options.js";
import type { Provider } from "./provider.js";
import { type Refusal, type Reply, type Result, replyTo } from "./reply.js";
import { createVerifier } from "./signature/verify.js";
import { isThenable } from "./values/maybe-promise.js";

/** Verifies deliveries, reads their events and has each one handled once. */
export interface Receiver<Events extends EventMap = EventMap> extends Listening<Events> {
  readonly provider: Provider<Events>;
  /**
   * Processes one delivery; never rejects. When it resolves, every event was handled and settled,
   * or its claim was released, so that delivering it again is safe and repeats only what failed.
   */
  handle(delivery: IncomingDelivery): Promise<Reply>;
  /**
   * The event types that a listener is registered for now, in the provider's order; with an `onAny`
   * listener all that this release knows. What is to be subscribed to follows from it.
   */
  listenedTypes(): readonly EventType<Events>[];
  /**
   * Runs the listeners of an event that a sink kept: for the sink's worker.
   *
   * @throws what a listener threw, an `AggregateError` if several did. `onError` has heard it by then.
   */
  dispatch(event: ReceivedEvent<Events>, context: Omit<ListenerContext, "delivery" | "stale">): Promise<void>;
  /**
   * Refuses deliveries from now on with 503, so that they are sent again, and resolves when those
   * that are being processed have their replies. The replies may still have to be written.
   */
  close(): Promise<void>;
}

/**
 * The parts are made once; `process` is the whole way of a delivery through them, from top to bottom.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createReceiver<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
): Receiver<Events> {
  checkOptions(options);
  const { maxBodySize = 5 * 1024 * 1024, maxInFlight, timeout } = options;
  const log = createLog(provider.name);
  const admission = createAdmission(maxInFlight);
  const verify = createVerifier(provider, options, log);
  const { run, ...listening } = createListeners<Events>(provider, timeout, ({ id, type }) =>
    // Without the error's message, which may hold anything. An onError listener gets the error itself.
    log("EVENT_FAILED", `event ${quoted(id)} of type ${quoted(type)} failed. onError hears why.`),
  );
  const runListeners = instrumented(options, log, run);
  const dispatch = createDispatcher(provider, options, runListeners, log);

  /** One delivery, from its head to its reply. Awaits only what is not there yet. Never rejects. */
  async function process(incoming: IncomingDelivery, trace?: Trace): Promise<Reply> {
    const refused = admission.enter();
    try {
      if (refused) return reply({ code: refused }, trace);
      // Listeners never run on the caller's stack, so that a listener may hand over the next delivery.
      await undefined;

      // 1. The head.
      const headers = toHeaders(incoming.headers);
      if (incoming.method !== "POST") return reply({ code: "METHOD_NOT_ALLOWED" }, trace);
      const encoding = headers.get("content-encoding");
      if (encoding && encoding.trim().toLowerCase() !== "identity")
        return reply({ code: "ENCODING_UNSUPPORTED" }, trace);

      // 2. The body, up to its limit.
      let body = readBody(incoming.body, maxBodySize);
      if (isThenable(body)) body = await body;
      if ("code" in body) return reply(refuseBody(body), trace);
      if (trace) trace.bytes = body.byteLength;
      if (body.byteLength > maxBodySize) return reply({ code: "BODY_TOO_LARGE" }, trace);

      // 3. The signature over the raw bytes, and its time.
      const delivery: Delivery = { method: incoming.method, headers, body };
      if (trace) trace.verifying = performance.now();
      let digest = verify(delivery);
      if (isThenable(digest)) digest = await digest;
      if (trace) trace.verified = performance.now();
      if (typeof digest === "object") return reply(digest, trace);

      // 4. Only now: decode, parse, validate.
      const events = parseEvents(delivery);
      if ("code" in events) return reply(events, trace);

      // 5. Each event: claim it, run its listeners or give it to the sink, settle or release it.
      if (trace) trace.handling = performance.now();
      return reply(await dispatch(events, digest, contextsOf(delivery, incoming)), trace);
    } catch (error) {
      return reply(refuse("INTERNAL_ERROR", `${kindOf(error)} while processing a delivery.`), trace);
    } finally {
      trace?.end();
      admission.leave();
    }
  }

  function reply(result: Result, trace: Trace | undefined): Reply {
    if (trace) trace.result = result;
    return replyTo(result);
  }

  /** For what the operator should know: it is logged, too. */
  function refuse(code: ErrorCode, reason: string): Refusal {
    log(code, reason);
    return { code, reason };
  }

  function refuseBody({ code, hint = NO_BYTES }: BodyFailure): Refusal {
    return code === "BODY_UNAVAILABLE" ? refuse(code, hint) : { code };
  }

  function parseEvents({ headers, body }: Delivery): readonly ReceivedEvent<Events>[] | Refusal {
    const json = parseJson(body);
    const events = json && provider.parseEvents(json.value, headers);
    return events ?? refuse(json ? "ENVELOPE_INVALID" : "BODY_NOT_JSON", UNREADABLE);
  }

  return {
    provider,
    ...listening,
    handle: observed(provider.name, options, log, process),
    async dispatch(event, context) {
      const failures = await runListeners(event, (limit) => sinkContext(context, limit));
      if (failures.length > 1) throw new AggregateError(failures, "Several listeners failed.");
      if (failures.length === 1) throw failures[0];
    },
    close: admission.close,
  };
}

const NO_BYTES = "handle was given neither bytes nor text, perhaps a parsed body. Pass the raw bytes.";

const UNREADABLE =
  "a delivery that is accepted by its signature cannot be read. Its events are lost unless it is mended.";

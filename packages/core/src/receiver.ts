import { isEncoded, NO_BYTES, readBody } from "./body.js";
import { memoryClaims } from "./claiming/memory-claims.js";
import { type BodyFailure, type Delivery, type IncomingDelivery, toHeaders } from "./delivery.js";
import { createDispatcher } from "./dispatch.js";
import { type ErrorCode, kindOf } from "./errors.js";
import type { EventMap, EventType, ParsedEvent } from "./event.js";
import { contextsOf, type ListenerContext } from "./listeners/context.js";
import { createListeners, type Listening } from "./listeners/registry.js";
import { runStored } from "./listeners/run.js";
import { createLog, keepLog } from "./observing/log.js";
import { createObserved, instrumented } from "./observing/observe.js";
import { createOperator } from "./observing/operator.js";
import type { Trace } from "./observing/trace.js";
import { keepWatched } from "./observing/watched.js";
import { createWatching } from "./observing/watching.js";
import { checkOptions, checkProvider, type ReceiverOptions, warnOfMistakes } from "./options.js";
import type { Provider } from "./provider.js";
import { lossReason, readEvents } from "./providers/read-events.js";
import { createRecovery, type Recovery, withOccurrences } from "./recovering/recovery.js";
import { type Refusal, type Reply, type Result, replyTo } from "./reply.js";
import { createVerifier } from "./signature/verify.js";
import { createAdmission } from "./values/admission.js";
import { isThenable } from "./values/maybe-promise.js";

/** Verifies deliveries, reads their events, and has each event handled once. */
export interface Receiver<Events extends EventMap = EventMap> extends Listening<Events> {
  readonly provider: Provider<Events>;
  /** Takes recovered events. Present with the option `recoverable`. */
  readonly recovery?: Recovery;
  /**
   * Handles one delivery. Never rejects. When it resolves, each event was handled and settled, or can be
   * claimed again. A redelivery repeats only events that failed, and those that the store could not settle.
   */
  handle(delivery: IncomingDelivery): Promise<Reply>;
  /**
   * Returns the event types that have a listener now, in the provider's order; with an `onAny` listener,
   * all types of this release. An app can derive its subscriptions from them.
   */
  listenedTypes(): readonly EventType<Events>[];
  /**
   * Runs the listeners of an event that a sink stored. The sink's worker calls it.
   *
   * @throws the listener's error, or an `AggregateError` if several failed. `onError` gets them first.
   */
  dispatch(event: ParsedEvent<Events>, context: Omit<ListenerContext, "delivery" | "stale">): Promise<void>;
  /**
   * Refuses deliveries from now on with 503, so that they are redelivered. Resolves when all deliveries
   * in flight have their reply. Adapters may still have to write those replies.
   */
  close(): Promise<void>;
}

/**
 * Makes a receiver.
 *
 * @throws TypeError for options that cannot work. The message names the mistake and the fix.
 */
export function createReceiver<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
): Receiver<Events> {
  checkProvider(provider);
  checkOptions(options);
  const { maxBodySize = 5 * 1024 * 1024, maxEvents, maxInFlight, timeout, recoverable = false } = options;
  const { clock = Date.now, logger } = options;
  const log = createLog(provider.name, logger);
  warnOfMistakes(options, log);
  const admission = createAdmission(maxInFlight);
  const verify = createVerifier(provider as Provider, options, log);
  const { run, ...listening } = createListeners<Events>(provider, timeout, createOperator(log));
  const watching = createWatching(options);
  const runListeners = instrumented(options, log, watching.keepingErrors(run));
  const store = options.claims ?? memoryClaims({ clock });
  const dispatch = createDispatcher(provider, options, store, runListeners, log);
  const observed = createObserved(provider.name, options, watching, log);
  const { sink } = options;
  const timeStore = options.claims === undefined && sink?.latestOccurrence ? sink : store;
  const recovering = recoverable
    ? createRecovery(provider, store, timeStore, { admission, dispatch, observed, clock })
    : undefined;

  /** Takes one delivery from its head to its reply. Never rejects. */
  async function handleDelivery(incoming: IncomingDelivery, trace?: Trace): Promise<Reply> {
    const refused = admission.enter();
    try {
      if (refused) return reply({ code: refused }, trace);

      // 1. The head: method and encoding.
      const headers = toHeaders(incoming.headers);
      if (incoming.method !== "POST") return reply({ code: "METHOD_NOT_ALLOWED" }, trace);
      if (isEncoded(headers.get("content-encoding"))) return reply({ code: "ENCODING_UNSUPPORTED" }, trace);

      // 2. The body, up to its limit. Reading starts before the first `await`: later, other code may have
      // read the stream. The `await` itself is for bytes, too: listeners never run on the caller's stack.
      const body = await readBody(incoming.body, maxBodySize);
      if ("code" in body) return reply(refuseBody(body), trace);
      if (trace) trace.body = body;
      if (body.byteLength > maxBodySize) return reply({ code: "BODY_TOO_LARGE" }, trace);

      // 3. The signature over the raw bytes, and its time.
      const delivery: Delivery = { method: incoming.method, headers, body };
      if (trace) trace.verifying = performance.now();
      let digest = verify(delivery);
      if (isThenable(digest)) digest = await digest;
      if (trace) trace.verified = performance.now();
      if (typeof digest === "object") return reply(digest, trace);

      // 4. The events. None is parsed before the delivery is verified.
      const events = readEvents(provider, delivery, clock(), maxEvents);
      if ("code" in events) return reply(refuse(events.code, lossReason(provider, events)), trace);

      // 5. Dispatch: claim each event, run its listeners or give it to the sink, settle or release the claim.
      if (trace) trace.handling = performance.now();
      recovering?.markRecoverable();
      return reply(
        await dispatch(
          recovering ? withOccurrences(provider, events) : events,
          digest,
          contextsOf(delivery, incoming),
        ),
        trace,
      );
    } catch (error) {
      return reply(
        refuse("INTERNAL_ERROR", `handling a delivery failed (${kindOf(error)}). The provider retries.`),
        trace,
      );
    } finally {
      trace?.end();
      admission.leave();
    }
  }

  function reply(result: Result, trace: Trace | undefined): Reply {
    if (trace) trace.result = result;
    return replyTo(result);
  }

  /** Logs the reason for the operator, and returns the refusal. */
  function refuse(code: ErrorCode, reason: string): Refusal {
    log(code, reason);
    return { code, reason };
  }

  function refuseBody({ code, hint }: BodyFailure): Refusal {
    if (code === "BODY_UNAVAILABLE") return refuse(code, hint ?? NO_BYTES);
    return hint === undefined ? { code } : refuse(code, hint);
  }

  const receiver: Receiver<Events> = {
    provider,
    ...listening,
    handle: (incoming) => observed("delivery", incoming, (trace) => handleDelivery(incoming, trace)),
    ...(recovering && { recovery: recovering.recovery }),
    dispatch: (event, context) => runStored(runListeners, event, context),
    close: admission.close,
  };
  return keepWatched(keepLog(receiver, log), watching.watched);
}

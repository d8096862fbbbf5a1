import type * as core from "@crowdhook/core";
import type * as coreAdapter from "@crowdhook/core/adapter";
import type * as coreProlific from "@crowdhook/core/prolific";
import type * as coreToloka from "@crowdhook/core/toloka";
import type * as express from "@crowdhook/express";
import type * as fastify from "@crowdhook/fastify";
import type * as fetch from "@crowdhook/fetch";
import type * as koa from "@crowdhook/koa";
import type * as node from "@crowdhook/node";
import { expectTypeOf, test } from "vitest";

type TolokaEvents = coreToloka.TolokaEvents;

/** Every type that an adapter exports besides its own, as core has it. */
interface Core {
  ClaimStore: core.ClaimStore;
  Delivery: core.Delivery;
  DeliveryRecord: core.DeliveryRecord;
  ErrorCode: core.ErrorCode;
  EventMap: core.EventMap;
  Instrumentation: core.Instrumentation;
  Listener: core.Listener<Event>;
  ListenerContext: core.ListenerContext;
  ListenerMap: core.ListenerMap<TolokaEvents>;
  Provider: core.Provider<TolokaEvents>;
  ReceivedEvent: core.ReceivedEvent<TolokaEvents>;
  Receiver: core.Receiver<TolokaEvents>;
  ReceiverOptions: core.ReceiverOptions;
  Reply: core.Reply;
  SecretSource: core.SecretSource;
  Sink: core.Sink;
  UnrecognizedEvent: core.UnrecognizedEvent;
  WebhookEvent: core.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: core.EventType<TolokaEvents>;
  Webhook: coreAdapter.Webhook<TolokaEvents>;
  WebhookOptions: coreAdapter.WebhookOptions<TolokaEvents>;
  WebhookSource: coreAdapter.WebhookSource<TolokaEvents>;
  TolokaEvents: coreToloka.TolokaEvents;
  TolokaEventType: coreToloka.TolokaEventType;
  ProlificEvents: coreProlific.ProlificEvents;
  ProlificEventType: coreProlific.ProlificEventType;
}

interface Node {
  ClaimStore: node.ClaimStore;
  Delivery: node.Delivery;
  DeliveryRecord: node.DeliveryRecord;
  ErrorCode: node.ErrorCode;
  EventMap: node.EventMap;
  Instrumentation: node.Instrumentation;
  Listener: node.Listener<Event>;
  ListenerContext: node.ListenerContext;
  ListenerMap: node.ListenerMap<TolokaEvents>;
  Provider: node.Provider<TolokaEvents>;
  ReceivedEvent: node.ReceivedEvent<TolokaEvents>;
  Receiver: node.Receiver<TolokaEvents>;
  ReceiverOptions: node.ReceiverOptions;
  Reply: node.Reply;
  SecretSource: node.SecretSource;
  Sink: node.Sink;
  UnrecognizedEvent: node.UnrecognizedEvent;
  WebhookEvent: node.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: node.EventType<TolokaEvents>;
  Webhook: node.Webhook<TolokaEvents>;
  WebhookOptions: node.WebhookOptions<TolokaEvents>;
  WebhookSource: node.WebhookSource<TolokaEvents>;
  TolokaEvents: node.TolokaEvents;
  TolokaEventType: node.TolokaEventType;
  ProlificEvents: node.ProlificEvents;
  ProlificEventType: node.ProlificEventType;
}

interface Express {
  ClaimStore: express.ClaimStore;
  Delivery: express.Delivery;
  DeliveryRecord: express.DeliveryRecord;
  ErrorCode: express.ErrorCode;
  EventMap: express.EventMap;
  Instrumentation: express.Instrumentation;
  Listener: express.Listener<Event>;
  ListenerContext: express.ListenerContext;
  ListenerMap: express.ListenerMap<TolokaEvents>;
  Provider: express.Provider<TolokaEvents>;
  ReceivedEvent: express.ReceivedEvent<TolokaEvents>;
  Receiver: express.Receiver<TolokaEvents>;
  ReceiverOptions: express.ReceiverOptions;
  Reply: express.Reply;
  SecretSource: express.SecretSource;
  Sink: express.Sink;
  UnrecognizedEvent: express.UnrecognizedEvent;
  WebhookEvent: express.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: express.EventType<TolokaEvents>;
  Webhook: express.Webhook<TolokaEvents>;
  WebhookOptions: express.WebhookOptions<TolokaEvents>;
  WebhookSource: express.WebhookSource<TolokaEvents>;
  TolokaEvents: express.TolokaEvents;
  TolokaEventType: express.TolokaEventType;
  ProlificEvents: express.ProlificEvents;
  ProlificEventType: express.ProlificEventType;
}

interface Koa {
  ClaimStore: koa.ClaimStore;
  Delivery: koa.Delivery;
  DeliveryRecord: koa.DeliveryRecord;
  ErrorCode: koa.ErrorCode;
  EventMap: koa.EventMap;
  Instrumentation: koa.Instrumentation;
  Listener: koa.Listener<Event>;
  ListenerContext: koa.ListenerContext;
  ListenerMap: koa.ListenerMap<TolokaEvents>;
  Provider: koa.Provider<TolokaEvents>;
  ReceivedEvent: koa.ReceivedEvent<TolokaEvents>;
  Receiver: koa.Receiver<TolokaEvents>;
  ReceiverOptions: koa.ReceiverOptions;
  Reply: koa.Reply;
  SecretSource: koa.SecretSource;
  Sink: koa.Sink;
  UnrecognizedEvent: koa.UnrecognizedEvent;
  WebhookEvent: koa.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: koa.EventType<TolokaEvents>;
  Webhook: koa.Webhook<TolokaEvents>;
  WebhookOptions: koa.WebhookOptions<TolokaEvents>;
  WebhookSource: koa.WebhookSource<TolokaEvents>;
  TolokaEvents: koa.TolokaEvents;
  TolokaEventType: koa.TolokaEventType;
  ProlificEvents: koa.ProlificEvents;
  ProlificEventType: koa.ProlificEventType;
}

interface Fastify {
  ClaimStore: fastify.ClaimStore;
  Delivery: fastify.Delivery;
  DeliveryRecord: fastify.DeliveryRecord;
  ErrorCode: fastify.ErrorCode;
  EventMap: fastify.EventMap;
  Instrumentation: fastify.Instrumentation;
  Listener: fastify.Listener<Event>;
  ListenerContext: fastify.ListenerContext;
  ListenerMap: fastify.ListenerMap<TolokaEvents>;
  Provider: fastify.Provider<TolokaEvents>;
  ReceivedEvent: fastify.ReceivedEvent<TolokaEvents>;
  Receiver: fastify.Receiver<TolokaEvents>;
  ReceiverOptions: fastify.ReceiverOptions;
  Reply: fastify.Reply;
  SecretSource: fastify.SecretSource;
  Sink: fastify.Sink;
  UnrecognizedEvent: fastify.UnrecognizedEvent;
  WebhookEvent: fastify.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: fastify.EventType<TolokaEvents>;
  Webhook: fastify.Webhook<TolokaEvents>;
  WebhookOptions: fastify.WebhookOptions<TolokaEvents>;
  WebhookSource: fastify.WebhookSource<TolokaEvents>;
  TolokaEvents: fastify.TolokaEvents;
  TolokaEventType: fastify.TolokaEventType;
  ProlificEvents: fastify.ProlificEvents;
  ProlificEventType: fastify.ProlificEventType;
}

interface Fetch {
  ClaimStore: fetch.ClaimStore;
  Delivery: fetch.Delivery;
  DeliveryRecord: fetch.DeliveryRecord;
  ErrorCode: fetch.ErrorCode;
  EventMap: fetch.EventMap;
  Instrumentation: fetch.Instrumentation;
  Listener: fetch.Listener<Event>;
  ListenerContext: fetch.ListenerContext;
  ListenerMap: fetch.ListenerMap<TolokaEvents>;
  Provider: fetch.Provider<TolokaEvents>;
  ReceivedEvent: fetch.ReceivedEvent<TolokaEvents>;
  Receiver: fetch.Receiver<TolokaEvents>;
  ReceiverOptions: fetch.ReceiverOptions;
  Reply: fetch.Reply;
  SecretSource: fetch.SecretSource;
  Sink: fetch.Sink;
  UnrecognizedEvent: fetch.UnrecognizedEvent;
  WebhookEvent: fetch.WebhookEvent<TolokaEvents, "POOL_CLOSED">;
  EventType: fetch.EventType<TolokaEvents>;
  Webhook: fetch.Webhook<TolokaEvents>;
  WebhookOptions: fetch.WebhookOptions<TolokaEvents>;
  WebhookSource: fetch.WebhookSource<TolokaEvents>;
  TolokaEvents: fetch.TolokaEvents;
  TolokaEventType: fetch.TolokaEventType;
  ProlificEvents: fetch.ProlificEvents;
  ProlificEventType: fetch.ProlificEventType;
}

test("an app gets the types that it needs from its adapter alone", () => {
  expectTypeOf<Node>().toEqualTypeOf<Core>();
  expectTypeOf<Express>().toEqualTypeOf<Core>();
  expectTypeOf<Koa>().toEqualTypeOf<Core>();
  expectTypeOf<Fastify>().toEqualTypeOf<Core>();
  expectTypeOf<Fetch>().toEqualTypeOf<Core>();
});

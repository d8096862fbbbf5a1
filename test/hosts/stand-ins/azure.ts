// Stands in for the host and the worker of Azure Functions: it is the module that @azure/functions
// registers functions with, and calls them as the worker does.
import { createServer } from "node:http";
import Module from "node:module";
import { buffer } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

interface Metadata {
  readonly name: string;
  readonly bindings: Record<
    string,
    { readonly route?: string; readonly type: string; readonly name: string }
  >;
}
interface InvocationModel {
  getArguments(): Promise<{ context: object; inputs: unknown[] }>;
  invokeFunction(context: object, inputs: unknown[], callback: unknown): Promise<unknown>;
  getResponse(context: object, result: unknown): Promise<{ returnValue: { http: RpcResponse } }>;
}
interface RpcResponse {
  readonly statusCode: string;
  readonly headers: Record<string, string>;
  readonly body: { readonly bytes?: Uint8Array; readonly string?: string };
}

const functions: { readonly metadata: Metadata; readonly callback: unknown }[] = [];
let model: { getInvocationModel(context: object): InvocationModel };

const core = {
  setProgrammingModel(given: typeof model) {
    model = given;
  },
  registerFunction(metadata: Metadata, callback: unknown) {
    functions.push({ metadata, callback });
  },
  log() {},
};

const loader = Module as unknown as { _load(name: string, ...rest: unknown[]): unknown };
const load = loader._load;
loader._load = (name, ...rest) => (name === "@azure/functions-core" ? core : load(name, ...rest));

await import(pathToFileURL("functions.js").href);

createServer(async (request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  const found = functions.find(({ metadata }) =>
    Object.values(metadata.bindings).some(({ route }) => url.pathname === `/api/${route}`),
  );
  if (found === undefined) {
    response.writeHead(404).end();
    return;
  }
  const { metadata, callback } = found;
  const trigger = Object.keys(metadata.bindings).find(
    (name) => metadata.bindings[name]?.type === "httpTrigger",
  );
  const http = {
    method: request.method,
    url: url.href,
    headers: request.headers,
    body: { bytes: await buffer(request) },
    nullableHeaders: {},
    nullableParams: {},
    nullableQuery: {},
  };
  const invocation = model.getInvocationModel({
    invocationId: "1",
    metadata,
    state: undefined,
    log() {},
    request: { triggerMetadata: {}, inputData: [{ name: trigger, data: { http } }] },
  });
  const { context, inputs } = await invocation.getArguments();
  const result = await invocation.invokeFunction(context, inputs, callback);
  const { returnValue } = await invocation.getResponse(context, result);
  const { statusCode, headers, body } = returnValue.http;
  response.writeHead(Number(statusCode), headers).end(body.bytes ?? body.string);
}).listen(0);

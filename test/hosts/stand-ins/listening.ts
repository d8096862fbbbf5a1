// Preloaded in each app on Node: servers listen at a free port, whatever port the app names, and print it.
import { type AddressInfo, Server } from "node:net";

const { listen } = Server.prototype;

function atFreePort(arg: unknown): unknown {
  if (typeof arg === "object" && arg !== null && "port" in arg) return { ...arg, port: 0 };
  return /^\d+$/.test(String(arg)) ? 0 : arg;
}

Server.prototype.listen = function (this: Server, ...[first, ...rest]: unknown[]) {
  this.once("listening", () => console.log(`listening ${(this.address() as AddressInfo).port}`));
  return Reflect.apply(listen, this, [atFreePort(first), ...rest]);
} as typeof listen;

export type { Authorize } from "./http/access.js";
export {
  type Inspected,
  type InspectedServer,
  type Inspector,
  type InspectorOptions,
  mountInspector,
} from "./mount.js";

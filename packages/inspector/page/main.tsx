import { render } from "preact";
import { App } from "./app.js";
import { takeToken } from "./server/api.js";

takeToken();
render(<App />, document.body);

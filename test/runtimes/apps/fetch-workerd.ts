import fetch from "./fetch.js";

export default { fetch };

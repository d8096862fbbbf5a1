import type { Comparison } from "../../src/wire.js";
import { Side } from "../body/body.js";
import { linkTo } from "../parts/routes.js";
import { Text } from "../parts/text.js";
import { get, getBytes } from "../server/api.js";
import { useLoaded } from "../server/use-loaded.js";

export function CompareView({ a, b }: { readonly a: number; readonly b: number }) {
  const { value, error } = useLoaded(`${a} ${b}`, async () => ({
    comparison: await get<Comparison>(`compare?a=${a}&b=${b}`),
    left: await getBytes(`deliveries/${a}/body`),
    right: await getBytes(`deliveries/${b}/body`),
  }));
  if (error !== undefined) return <p class="problem">{error}</p>;
  if (value === undefined) return <p class="dim">…</p>;
  const { comparison, left, right } = value;
  const { changes, differences, isJson } = comparison;
  return (
    <article>
      <h1>
        <a href={linkTo("delivery", a)}>#{a}</a> and <a href={linkTo("delivery", b)}>#{b}</a>
      </h1>
      <h2>Structure</h2>
      {!isJson && <p class="dim">The bodies are not both JSON.</p>}
      {isJson && changes.length === 0 && <p>Both hold the same JSON.</p>}
      {changes.length > 0 && (
        <table class="changes">
          <thead>
            <tr>
              <th>Field</th>
              <th>#{a}</th>
              <th>#{b}</th>
            </tr>
          </thead>
          <tbody>
            {changes.map((change) => (
              <tr key={change.path}>
                <td>
                  <Text text={change.path} />
                </td>
                <td class="removed">{change.a === undefined ? "–" : <Text text={change.a} />}</td>
                <td class="added">{change.b === undefined ? "–" : <Text text={change.b} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Bytes</h2>
      {differences.length === 0 ? (
        <p>The bytes are the same.</p>
      ) : (
        <div class="sides">
          <Side title={`#${a}`} bytes={left} differences={differences} side="received" />
          <Side title={`#${b}`} bytes={right} differences={differences} side="fitting" />
        </div>
      )}
    </article>
  );
}

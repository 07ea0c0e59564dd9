import { createHash } from 'node:crypto';
import { cut } from '../../text.ts';
import page from './generated/page.json' with { type: 'json' };
import type { Graph } from './graph.ts';

/** Bytes of a name or message. */
const MAX_TEXT_BYTES = 1024;

/**
 * A complete HTML file, which loads nothing. What it shows of the graph is data for its script, which shows it as text only; should that
 * ever fail, the policy lets no other script run. Invisible characters in texts are escaped, long texts truncated.
 */
export function graphPage(graph: Graph): string {
  const data = JSON.stringify(graph, (_, value) => (typeof value === 'string' ? cut(value, MAX_TEXT_BYTES) : value));
  const policy = `default-src 'none'; style-src ${hash(page.style)}; script-src ${hash(page.script)}; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>BPF maps of ${htmlText(cut(graph.cluster, MAX_TEXT_BYTES))}</title>
<style>${page.style}</style>
</head>
<body>
${page.body}<noscript>This page needs JavaScript. It loads nothing from elsewhere.</noscript>
<script type="application/json" id="graph">${jsonText(data)}</script>
<script>${page.script}</script>
</body>
</html>
`;
}

const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** What means something in HTML. */
function htmlText(text: string): string {
  return text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Escapes in JSON what could end the element that it is in. */
function jsonText(json: string): string {
  return json.replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

const [QUOTE, BACKSLASH] = ['"', '\\'].map((character) => character.charCodeAt(0));
const [OBJECT, OBJECT_END, ARRAY, ARRAY_END] = ['{', '}', '[', ']'].map((character) => character.charCodeAt(0));
const ITEMS_BEGIN = /"items"\s*:\s*\[$/;

/**
 * Reads a list of the API server, as JSON. Calls `each` with every object of `items` as soon as it is there, and returns the text of the list
 * without them, which may be no JSON. The text of a whole list, and all objects with what nobody keeps, would take several times the memory
 * of what is kept. Throws a SyntaxError, and what `chunks` and `each` throw.
 */
export async function readList(chunks: AsyncIterable<Buffer>, each: (object: unknown) => void): Promise<string> {
  let depth = 0;
  let isText = false;
  let isEscaped = false;
  let isItems = false;
  let around = '';
  /** What has begun in earlier chunks, and not ended. */
  let begun: Buffer[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    const cut = (to: number) => {
      const text = Buffer.concat([...begun, chunk.subarray(from, to)]).toString();
      begun = [];
      from = to;
      return text;
    };
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (isText) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) isText = false;
      } else if (byte === QUOTE) {
        isText = true;
      } else if (byte === OBJECT || byte === ARRAY) {
        // What is between two objects is of no use.
        if (isItems && depth === 2) cut(at);
        depth += 1;
        if (byte === ARRAY && depth === 2) {
          around += cut(at + 1);
          isItems = ITEMS_BEGIN.test(around);
        }
      } else if (byte === OBJECT_END || byte === ARRAY_END) {
        depth -= 1;
        if (isItems && depth === 2) {
          each(JSON.parse(cut(at + 1)));
        } else if (isItems && depth === 1) {
          cut(at);
          isItems = false;
        }
      }
    }
    begun.push(chunk.subarray(from));
  }
  return around + Buffer.concat(begun).toString();
}

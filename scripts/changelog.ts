/**
 * What the text of CHANGELOG.md says of this version. Throws if that is nothing. Each item of a list is one line: in the notes of a release,
 * GitHub breaks a line wherever the text does.
 */
export function notesOf(changelog: string, version: string): string {
  const section = changelog.split(/^## /m).find((text) => text.split('\n', 1)[0] === version);
  if (section === undefined) throw new Error(`CHANGELOG.md has no section "## ${version}"`);
  const notes = section.slice(version.length).trim();
  if (notes === '') throw new Error(`CHANGELOG.md says nothing of ${version}`);
  return notes.replaceAll(/\n {2,}(?=[^\s-])/g, ' ');
}

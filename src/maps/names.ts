/** The name of a Kubernetes object, a DNS-1123 subdomain, at most 128 characters: an object's name of its own is no file name. */
export const OBJECT_NAME = /^(?=.{1,128}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** What a bpf filesystem takes as a file's name, and the pinner as well. It refuses dots. */
export const FILE_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** The same for people. */
export const FILE_NAME_RULE = 'must be 1 to 128 of A-Z a-z 0-9 _ -';

/** Absolute, at most 4095 bytes, without empty elements, "." or "..": what it names cannot be elsewhere. */
export function isPlainPath(path: string): boolean {
  return (
    Buffer.byteLength(path) <= 4095 &&
    path.startsWith('/') &&
    path
      .slice(1)
      .split('/')
      .every((name) => name !== '' && name !== '.' && name !== '..') &&
    !path.includes('\0')
  );
}

/** The name of a Kubernetes object (DNS-1123 subdomain), limited to 128 characters as a file's name is. */
export const OBJECT_NAME = /^(?=.{1,128}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** The file names that bpf filesystems, which allow no dots, and the pinner accept. */
export const FILE_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** FILE_NAME for error messages. */
export const FILE_NAME_RULE = 'must be 1 to 128 of A-Z a-z 0-9 _ -';

/** Whether a path is absolute, has at most 4095 bytes, and no empty element, "." or "..", so that it cannot lead elsewhere. */
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

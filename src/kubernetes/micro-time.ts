/** Kubernetes's MicroTime: RFC 3339 with microseconds. */
export function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}

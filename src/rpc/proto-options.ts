/**
 * How proto-loader represents messages, and how it types them (scripts/generate.ts):
 * - longs: as numbers. CSI and the pinner use 64 bits for bytes, of which no machine has 2^53. A larger number is rounded to one that is
 *   not a safe integer, which whoever takes it from a caller has to check.
 * - enums: as numbers. A value that is newer than the .proto file is still a value of the type.
 * - defaults: every field is present, as in proto3; a missing message is null. Members of a oneof that are not set, and optional fields,
 *   are absent.
 * - oneofs: no property that names the member that is set, which proto3 would add for each optional field too. If a sender breaks the
 *   rules, two members may be set.
 */
export const PROTO_OPTIONS = { longs: Number, defaults: true, oneofs: false } as const;

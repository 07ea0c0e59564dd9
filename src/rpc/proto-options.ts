/**
 * How proto-loader shows messages to the driver, and how it types them (scripts/generate.ts):
 * - longs: numbers. What CSI and the pinner count in 64 bits is bytes, of which no machine has 2^53; a number beyond that arrives
 *   rounded, and never as a safe integer, which whoever takes one from a caller has to look at.
 * - enums: numbers, as they are sent. A value that is newer than the .proto file stays one of its type.
 * - defaults: every field is there, as proto3 has it; a message that is absent is null. A member of a oneof that was not sent, or an
 *   optional field, is not there at all.
 * - oneofs: no property that names the member which is there: the member tells. proto3 makes a oneof of each optional field too.
 *   Of a sender that breaks the rules, two members are both there.
 */
export const PROTO_OPTIONS = { longs: Number, defaults: true, oneofs: false } as const;

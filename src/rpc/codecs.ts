import {
  fromJSON,
  type MessageTypeDefinition,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/proto-loader';
import { PROTO_OPTIONS } from './proto-options.ts';
import { createWireChecks, type WireCheck } from './wire-check.ts';

/** The loaded services, by the descriptor of their .proto file. */
const packages = new Map<object, Readonly<Record<string, object>>>();

/** The service `name`, with codecs for its messages, which throw on malformed ones. `descriptor`: the generated one of its .proto file. */
export function loadService<D extends object>(descriptor: object, name: string): D {
  const services = packages.get(descriptor) ?? load(descriptor);
  packages.set(descriptor, services);
  return services[name] as D;
}

function load(descriptor: object): Readonly<Record<string, object>> {
  const services: Record<string, object> = {};
  const checkOf = createWireChecks(descriptor);
  for (const [name, definition] of Object.entries(fromJSON(descriptor, PROTO_OPTIONS))) {
    // Messages and enums are not services.
    if ('format' in definition) continue;
    const methods = Object.entries(definition as ServiceDefinition);
    const scope = name.slice(0, name.lastIndexOf('.'));
    services[name] = Object.fromEntries(methods.map(([method, codec]) => [method, toMethod(codec, scope, checkOf)]));
  }
  return services;
}

/** Without the descriptors of messages that proto-loader keeps beside the codecs: they are needed only here. */
function toMethod(
  { requestType, responseType, ...method }: MethodDefinition<object, object>,
  scope: string,
  checkOf: (type: string) => WireCheck,
): Omit<MethodDefinition<object, object>, 'requestType' | 'responseType'> {
  const reading = <T>({ type }: MessageTypeDefinition<object, T>, read: (bytes: Buffer) => T) => {
    const check = checkOf(`.${scope}.${(type as { readonly name: string }).name}`);
    return (bytes: Buffer) => {
      check(bytes);
      return read(bytes);
    };
  };
  return {
    ...method,
    requestDeserialize: reading(requestType, method.requestDeserialize),
    responseDeserialize: reading(responseType, method.responseDeserialize),
  };
}

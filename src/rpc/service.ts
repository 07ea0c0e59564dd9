import { setImmediate as turn } from 'node:timers/promises';
import { findIn } from './descriptor.ts';

/** The request of a method, decoded: with all of its fields. */
export type Request<M> = M extends { readonly requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;

/** The response of a method. */
export type Response<M> = M extends { readonly responseDeserialize: (bytes: Buffer) => infer Res } ? Res : never;

/** The names of a service's methods, without the index signature of its generated definition. */
export type MethodName<D> = keyof { [M in keyof D as string extends M ? never : number extends M ? never : M]: M } &
  string;

/** A gRPC service of the .proto files. `D`: its generated definition, with codecs for the messages of each method. */
export interface Service<D extends object> {
  /** Such as "csi.v1.Node". */
  readonly name: string;
  /** Such as "NodePublishVolume". */
  readonly methods: readonly MethodName<D>[];
  /** The generated descriptor of its .proto file. */
  readonly descriptor: object;
  /** Makes the codecs at the first call, which takes a tenth as long as a start. */
  definition(): Promise<D>;
}

/** A method's name in code: nodePublishVolume. */
export type InCode<M extends string> = Uncapitalize<M>;

/** The value for the type InCode<M>. */
export function inCode<M extends string>(method: M): InCode<M> {
  return `${method.charAt(0).toLowerCase()}${method.slice(1)}` as InCode<M>;
}

/** Describes the service `name`. `descriptor`: the generated one of its .proto file. */
export function describeService<D extends object>(descriptor: object, name: string): Service<D> {
  const found = findIn(descriptor, name);
  if (found?.methods === undefined) throw new TypeError(`no .proto file has a service ${name}`);
  let definition: Promise<D> | undefined;
  return {
    name,
    descriptor,
    methods: Object.keys(found.methods) as MethodName<D>[],
    definition() {
      definition ??= import('./codecs.ts').then(({ loadService }) => loadService<D>(descriptor, name));
      return definition;
    },
  };
}

/** Makes the codecs of services in this order, in the background, so that their first calls need not wait. */
export async function prepare(...services: readonly Pick<Service<object>, 'definition'>[]): Promise<void> {
  for (const service of services) {
    await turn();
    await service.definition();
  }
}

import {
  type CallOptions,
  type Client,
  type ClientUnaryCall,
  type Metadata,
  makeClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadService } from './codecs.ts';
import { ControllerService, IdentityService, NodeService } from './csi.ts';
import type { InCode, MethodName, Request, Response, Service } from './service.ts';

/** A grpc-js client with a function for each method of a service. */
export type RpcClient<D extends object> = Client & {
  readonly [M in MethodName<D> as InCode<M>]: (
    request: Request<D[M]>,
    metadata: Metadata,
    options: Partial<CallOptions>,
    done: (error: ServiceError | null, response: Response<D[M]>) => void,
  ) => ClientUnaryCall;
};

/** The class of a service's clients. */
export type RpcClientClass<D extends object> = new (...args: ConstructorParameters<typeof Client>) => RpcClient<D>;

/** For those who call the driver: demo, doctor and tests. The driver itself calls only the pinner, with a client of its own. */
export function clientClass<D extends object>({ descriptor, name }: Service<D>): RpcClientClass<D> {
  const definition = loadService<ServiceDefinition>(descriptor, name);
  return makeClientConstructor(definition, name) as unknown as RpcClientClass<D>;
}

/** Calls the Identity service of node plugin or controller. */
export const IdentityClient = clientClass(IdentityService);
export type IdentityClient = InstanceType<typeof IdentityClient>;
/** Calls the controller as external-provisioner does. */
export const ControllerClient = clientClass(ControllerService);
export type ControllerClient = InstanceType<typeof ControllerClient>;
/** Calls the node plugin as the kubelet does. */
export const NodeClient = clientClass(NodeService);
export type NodeClient = InstanceType<typeof NodeClient>;

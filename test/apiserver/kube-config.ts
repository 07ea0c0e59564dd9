import { KubeConfig } from '@kubernetes/client-node';

/** For an API server on loopback. `ca`: PEM; if absent, Node's default authorities. */
export function configOf(port: number, { ca, token }: { readonly ca?: string; readonly token?: string }): KubeConfig {
  const config = new KubeConfig();
  const caData = ca && Buffer.from(ca).toString('base64');
  config.loadFromClusterAndUser(
    { name: 'loopback', server: `https://127.0.0.1:${port}`, skipTLSVerify: false, ...(caData && { caData }) },
    { name: 'user', ...(token !== undefined && { token }) },
  );
  return config;
}

/** The same, on another port of loopback. */
export function byPort(config: KubeConfig, port: number): KubeConfig {
  config.clusters = config.clusters.map((cluster) => ({ ...cluster, server: `https://127.0.0.1:${port}` }));
  return config;
}

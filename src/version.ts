import manifest from '../package.json' with { type: 'json' };

/** The driver's version, as CSI's vendor_version and `--version` show it. */
export const version: string = manifest.version;

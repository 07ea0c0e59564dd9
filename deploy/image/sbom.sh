#!/usr/bin/env bash
# Writes bills of materials beside the built programs in dist/: npm.cdx.json and cargo.cdx.json.
set -euo pipefail
cd "$(dirname "$0")/../.."

npm sbom --package-lock-only --omit=dev --sbom-format=cyclonedx >dist/npm.cdx.json
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo metadata --manifest-path native/Cargo.toml --locked --format-version 1 --filter-platform "$triple" |
	node_modules/node-linux-*/bin/node deploy/image/cargo-sbom.ts >dist/cargo.cdx.json

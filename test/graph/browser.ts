import { chromium } from 'playwright-core';

/** Debian's Chromium, without a window. Its own sandbox does not work as root, nor does it matter for pages that we make. */
export function openBrowser() {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
}

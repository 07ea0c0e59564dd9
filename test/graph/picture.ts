// Makes a picture of a page of `kubectl bpffs graph`: node test/graph/picture.ts PAGE.html PICTURE.png [light|dark]
import { pathToFileURL } from 'node:url';
import { openBrowser } from './browser.ts';

const [page = '', picture = '', colorScheme = 'light'] = process.argv.slice(2);
await using browser = await openBrowser();
const tab = await browser.newPage({
  viewport: { width: 1280, height: 800 },
  colorScheme: colorScheme === 'dark' ? 'dark' : 'light',
});
await tab.goto(pathToFileURL(page).href);
await tab.screenshot({ path: picture });

// Reads one feed with one npm package: node readers.cjs FOLDER PACKAGE URL
// Prints {"entries": [{"title", "link", "enclosures": [url]}]}.
const { createRequire } = require("node:module");
const [folder, name, url] = process.argv.slice(2);
const load = createRequire(`${folder}/`);

async function readWithRssParser() {
  const Parser = load("rss-parser");
  const feed = await new Parser().parseURL(url);
  return feed.items.map(item => ({
    title: item.title, link: item.link, enclosures: item.enclosure ? [item.enclosure.url] : [],
  }));
}

async function readWithFeedsmith() {
  const { parseFeed } = load("feedsmith");
  const { format, feed } = parseFeed(await (await fetch(url)).text());
  const entries = feed.items ?? feed.entries;
  return entries.map(entry => ({
    title: entry.title?.value ?? entry.title,
    link: entry.link ?? entry.url ?? entry.links?.find(one => one.rel === "alternate")?.href,
    enclosures: format === "rss" ? (entry.enclosures ?? []).map(one => one.url)
      : format === "json" ? (entry.attachments ?? []).map(one => one.url)
      : (entry.links ?? []).filter(one => one.rel === "enclosure").map(one => one.href),
  }));
}

(name === "rss-parser" ? readWithRssParser() : readWithFeedsmith())
  .then(entries => console.log(JSON.stringify({ entries })));

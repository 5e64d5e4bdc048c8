/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The war room's page. It follows /api/live (hb_warroom.h has the contract), keeps the history of the charts,
 * and writes texts into index.html; colours and sizes are warroom.css's.
 *
 * What it holds to: a figure is shown as live only while events come (OLD_MS); whatever comes from the server
 * goes into text nodes, never into markup; nothing is styled but through the DOM, so that a policy without
 * inline styles holds.
 */
"use strict";

const OLD_MS = 3000; // without an event: the figures are old
const ANEW_MS = 10000; // without an event: connect anew, whatever the browser thinks of the connection
const AGAIN_MS = 2000; // between tries
const TICK_MS = 250;
const RESTART_TOLD_S = 300; // how long the page says that hongbaod was started again
const ALERTS_AT_FIRST = 3;
const FIND_FROM = 12; // campaigns from which on one can search
const SOON_S = 600; // a campaign that is empty within that goes to the top
const HOUR_ROWS = 3600;
const RECENT = 10;
const LEAST_RANGE_MS = 120000;

const $ = (id) => document.getElementById(id);

// ---- texts -------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

const count = (n) => (n == null ? "–" : whole.format(n));

// Rates below 10 with a digit more: 0.4 a second isn't 0.
const rate = (n) => (n == null ? "–" : n > 0 && n < 9.95 ? n.toFixed(1) : whole.format(n));

// From a hundred million yuan on nobody reads the fen.
const yuan = (fen) => (fen == null ? "–" : Math.abs(fen) >= 1e10 ? whole.format(fen / 100) : cents.format(fen / 100));

function percent(x) {
	if (x == null)
		return "–";
	return (x > 0 && x < 10 ? x.toFixed(1) : x < 100 && x > 99.5 ? x.toFixed(1) : x.toFixed(0)) + "%";
}

function short(n) {
	for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
		if (Math.abs(n) >= size)
			return +(n / size).toPrecision(3) + unit;
	}
	return String(+n.toPrecision(3));
}

function milliseconds(ms) {
	if (ms == null)
		return "–";
	return ms >= 1000 ? (ms / 1000).toFixed(1) + " s" : ms >= 100 ? ms.toFixed(0) + " ms" : +ms.toPrecision(2) + " ms";
}

function duration(s) {
	if (s == null)
		return "–";
	if (s < 10)
		return +s.toFixed(1) + " s";
	s = Math.round(s);
	if (s < 60)
		return s + " s";
	const m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
	if (m < 60)
		return m + "m " + (s % 60) + "s";
	return h < 48 ? h + "h " + (m % 60) + "m" : d + "d " + (h % 24) + "h";
}

const two = (n) => String(n).padStart(2, "0");

function timeOfDay(us) {
	const d = new Date(us / 1000);
	return two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
}

// With the date where it isn't today's.
function moment(us) {
	if (us == null)
		return "–";
	const d = new Date(us / 1000), day = d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());
	return (d.toDateString() === new Date(serverMs()).toDateString() ? "" : day + " ") + timeOfDay(us);
}

function zone() {
	const minutes = -new Date().getTimezoneOffset(), h = Math.floor(Math.abs(minutes) / 60);
	const rest = Math.abs(minutes) % 60;
	return "UTC" + (minutes ? (minutes < 0 ? "−" : "+") + h + (rest ? ":" + two(rest) : "") : "");
}

// ---- the DOM -----------------------------------------------------------------------------------

// Writes only what changed: a page for a night shouldn't lay itself out for nothing.
function say(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function attribute(node, name, value) {
	if (value == null)
		node.removeAttribute(name);
	else if (node.getAttribute(name) !== String(value))
		node.setAttribute(name, value);
}

const widths = new Map();
const ruler = document.createElement("canvas").getContext("2d");

// How wide a figure's text is, in em. All digits are alike, so this is measured once for each form.
function ems(node, text) {
	const form = node.id + text.replace(/\d/g, "0");
	if (!widths.has(form)) {
		const style = getComputedStyle(node);
		ruler.font = "800 100px " + style.fontFamily;
		widths.set(form, ruler.measureText(text.replace(/\d/g, "0")).width / 100);
	}
	return widths.get(form);
}

// A figure: its text, and for machines its value. The style sheet fits its size to its width.
function figure(id, text, value) {
	const node = $(id);
	say(node, text);
	attribute(node, "value", value);
	if (node.classList.contains("figure"))
		node.parentNode.style.setProperty("--ems", Math.max(2.2, ems(node, text)).toFixed(2));
}

function make(tag, name, text) {
	const node = document.createElement(tag);
	if (name)
		node.className = name;
	if (text != null)
		node.textContent = text;
	return node;
}

// Keeps one child of a list for each item, by key, in the items' order. A node that stays is moved only where
// it must be, so that focus and scrolling stay too.
function each(list, items, key, create, update) {
	const have = new Map([...list.children].map((node) => [node.dataset.key, node]));
	let at = list.firstElementChild;
	for (const item of items) {
		const name = String(key(item));
		let node = have.get(name);
		if (node)
			have.delete(name);
		else {
			node = create(item);
			node.dataset.key = name;
		}
		if (node === at)
			at = at.nextElementSibling;
		else
			list.insertBefore(node, at);
		update(node, item);
	}
	for (const node of have.values())
		node.remove();
}

// ---- what is known -----------------------------------------------------------------------------

let now = null; // the last event's object
let heard = { perf: 0, date: 0 }; // when it came, by two clocks: one stands still while a machine sleeps
let least = Infinity; // of this connection: how far an event's second was behind, at the least
let isOld = false;
let ended = false; // hongbaod said that it ends
let restartedUs = 0; // when hongbaod was started again while this page was open
let range = 3600;
const past = { 1: null, 60: null };
const recent = []; // the last events

const ageMs = () => Math.max(performance.now() - heard.perf, Date.now() - heard.date);

// The server's clock now, as far as it can be told.
const serverMs = () => (now ? now.time_us / 1000 + performance.now() - heard.perf : Date.now());

// ---- following ---------------------------------------------------------------------------------

let source = null;
let connectedAt = 0;

function connect() {
	if (source)
		source.close();
	connectedAt = performance.now();
	least = Infinity;
	source = new EventSource("/api/live");
	source.onmessage = (event) => take(JSON.parse(event.data));
	source.onopen = () => {
		least = Infinity;
	};
	source.addEventListener("end", () => {
		ended = true;
		tick();
	});
	// The browser tries again by itself unless it was answered with an error.
	source.onerror = () => {
		if (source.readyState === EventSource.CLOSED)
			setTimeout(connect, AGAIN_MS);
	};
}

// Whether an event was long on its way: what waited in a queue is no news.
function isLate(event) {
	const behind = performance.now() / 1000 - event.id;
	least = Math.min(least, behind);
	return behind - least > OLD_MS / 1000;
}

function take(event) {
	if (event.format !== 1) {
		location.reload();
		return;
	}
	if (isLate(event)) {
		connect();
		return;
	}
	const before = now;
	now = event;
	heard = { perf: performance.now(), date: Date.now() };
	try {
		show(before);
	} catch (error) {
		// Half of it may be of before.
		isOld = true;
		attribute(document.body, "data-live", "old");
		say($("live-text"), "broken: what came can't be shown");
		throw error;
	}
}

// Shows the event that came after another.
function show(before) {
	if (before && before.version !== now.version) {
		location.reload(); // it was replaced: so is this page
		return;
	}
	if (before && before.started_us !== now.started_us) {
		restartedUs = now.started_us;
		past[1] = past[60] = null;
		recent.length = 0;
	}
	recent.push(now);
	recent.splice(0, recent.length - RECENT);
	if (!before || now.id !== before.id + 1 || !past[1])
		fetchHistory(1);
	if (past[1])
		append(past[1], now);
	if (range > HOUR_ROWS && (!past[60] || performance.now() - past[60].at > 30000))
		fetchHistory(60);
	isOld = ended = false;
	render();
}

const fetching = {};

async function fetchHistory(step) {
	if (fetching[step])
		return;
	fetching[step] = true;
	try {
		const answer = await fetch("/api/history?step=" + step, { cache: "no-store", signal: AbortSignal.timeout(10000) });
		if (!answer.ok)
			throw new Error(answer.statusText);
		const h = await answer.json();
		// One that was made before a restart is of no use after it.
		if (now && h.started_us === now.started_us) {
			h.at = performance.now();
			past[step] = h;
			// What came while it was on its way.
			if (step === 1)
				recent.forEach((event) => append(h, event));
			renderCharts();
		}
	} catch (error) {
		// The next event asks again, when a while has passed.
		await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
	}
	fetching[step] = false;
}

// The second that a history's last row is of. An event of the same second has the same time.
function secondOf(h) {
	const same = recent.find((event) => event.time_us === h.time_us);
	return same ? same.id : now.id - Math.round((now.time_us - h.time_us) / 1e6);
}

// Puts an event behind the history's rows, so that it needn't be fetched each second.
function append(h, event) {
	if (h.id == null)
		h.id = secondOf(h);
	const row = h.rows - 1 + event.id - h.id;
	if (event.id <= h.id || row > h.rows + HOUR_ROWS)
		return;
	const drop = Math.max(0, row + 1 - HOUR_ROWS);
	for (const [values, value] of rowOf(h, event)) {
		while (values.length < row)
			values.push(null);
		values[row] = value === undefined ? null : value;
		values.splice(0, drop);
	}
	h.rows = row + 1 - drop;
	h.first_us += drop * 1e6;
	h.id = event.id;
}

function rowOf(h, event) {
	const { rates, load, admission, settlement, latency } = event;
	const row = { ...rates, ...load, ...admission, ...settlement };
	const durable = (latency && latency.durable) || {};
	row.durable_p50_ms = durable.p50_ms;
	row.durable_p99_ms = durable.p99_ms;
	const pairs = [];
	for (const [name, values] of Object.entries(h)) {
		if (Array.isArray(values) && name !== "campaigns" && name !== "workers")
			pairs.push([values, row[name]]);
	}
	const campaigns = new Map(event.campaigns.map((c) => [c.id, c.left]));
	for (const c of h.campaigns || [])
		pairs.push([c.left, campaigns.get(c.id)]);
	return pairs;
}

// ---- live or old -------------------------------------------------------------------------------

function tick() {
	const quiet = performance.now() - connectedAt;
	if (ageMs() > ANEW_MS && quiet > ANEW_MS)
		connect();
	say($("clock"), timeOfDay(serverMs() * 1000));
	attribute($("clock"), "datetime", new Date(serverMs()).toISOString());
	if (now && (ended || ageMs() > OLD_MS)) {
		const first = !isOld;
		isOld = true;
		renderLive();
		renderAlerts();
		if (first || Math.floor(ageMs() / 1000) !== tick.second)
			renderCharts();
		tick.second = Math.floor(ageMs() / 1000);
	}
}

function renderLive() {
	const state = !now ? "waiting" : isOld ? "old" : "live";
	attribute(document.body, "data-live", state);
	const text = { waiting: "waiting for hongbaod", live: "live", old: now && "old since " + moment(now.time_us) }[state];
	say($("live-text"), text);
	if (now)
		document.title = (isOld ? "OLD, " : "") + count(now.rates.shakes_per_minute) + " a minute: hongbao";
}

// ---- what is wrong -----------------------------------------------------------------------------

const SEVERITY = { critical: "▲ critical", warning: "◆ warning", notice: "● notice" };
let allAlerts = false;
let told = null; // ids of the alerts that the status region knows of

// The server's, and what only the page can know.
function currentAlerts() {
	const list = [];
	if (isOld) {
		list.push({ id: "page.old", severity: "critical", since_us: now.time_us,
			text: "Old since " + moment(now.time_us) + ": " + (ended ? "hongbaod ended in good order, " : "no word from hongbaod for ")
				+ duration(Math.floor(ageMs() / 1000)) + (ended ? " ago" : "") + ". The figures are of then.",
			try: "systemctl status hongbaod; this page connects again by itself" });
	}
	list.push(...now.alerts);
	if (restartedUs && serverMs() - restartedUs / 1000 < RESTART_TOLD_S * 1000) {
		list.push({ id: "page.restarted", severity: "notice", since_us: restartedUs,
			text: "hongbaod was started again at " + moment(restartedUs) + ". Rates, peak and curves begin there; money and campaigns went on.",
			try: "journalctl -u hongbaod -b says why" });
	}
	return list;
}

function makeAlert() {
	const node = make("li");
	node.append(make("span", "what"), make("span", "text"), make("span", "try"), make("span", "since"));
	return node;
}

function updateAlert(node, alert) {
	attribute(node, "data-severity", alert.severity);
	attribute(node, "data-alert", alert.id);
	const [what, text, remedy, since] = node.children;
	say(what, SEVERITY[alert.severity] || alert.severity);
	say(text, alert.text);
	say(since, "since " + moment(alert.since_us));
	say(remedy, alert.try ? "→ " + alert.try : "");
}

function renderAlerts() {
	const list = currentAlerts(), hidden = now.alerts_not_shown || 0;
	const shown = allAlerts ? list : list.slice(0, ALERTS_AT_FIRST);
	each($("alert-list"), shown, (a) => a.id, makeAlert, updateAlert);
	const more = $("alert-more"), all = list.length + hidden;
	more.hidden = list.length <= ALERTS_AT_FIRST;
	say(more, allAlerts ? "show the first " + ALERTS_AT_FIRST : "show all " + all);
	attribute(more, "aria-expanded", allAlerts);
	const earlier = now.incidents ? ", " + count(now.incidents) + " incident" + (now.incidents > 1 ? "s" : "") + " earlier" : "";
	$("well").hidden = isOld || all > 0;
	say($("well-text"), "nothing is wrong" + earlier);
	tell(list);
}

// To who listens instead of looking: what came and what went, once.
function tell(list) {
	const ids = new Map(list.map((a) => [a.id, a]));
	if (told) {
		const came = list.filter((a) => !told.has(a.id)).map((a) => a.severity + ": " + a.text + (a.try ? " Do: " + a.try : ""));
		const went = [...told.values()].filter((a) => !ids.has(a.id)).map((a) => "Over: " + a.text);
		if (came.length + went.length)
			say($("said"), [...came, ...went].slice(0, 3).join(" "));
	}
	told = ids;
}

// ---- figures -----------------------------------------------------------------------------------

// One host's, or several as one (hongbao-warroom); those that are away are left out of the figures.
function whoseFigures() {
	if (!now.hosts)
		return "host " + now.host;
	const there = now.hosts.filter((h) => !h.away).length;
	return there === now.hosts.length ? there + " hosts as one" : "▲ " + there + " of " + now.hosts.length + " hosts as one";
}

function renderHead() {
	const parts = [whoseFigures(), now.version, "up " + duration(now.uptime_s), "configuration " + now.config_version];
	if (now.state !== "running")
		parts.splice(1, 0, now.state.toUpperCase());
	if (now.clock === "packet")
		parts.push("plays a capture: its time rules");
	parts.push("times in " + zone());
	say($("facts"), parts.join(" · "));
}

function renderHero() {
	const { rates, peak } = now;
	figure("shakes-minute", count(rates.shakes_per_minute), rates.shakes_per_minute);
	figure("peak", peak ? count(peak.shakes_per_minute) : "–", peak && peak.shakes_per_minute);
	figure("peak-second", peak ? count(peak.shakes_per_second) : "–", peak && peak.shakes_per_second);
	say($("peak-at"), peak ? moment(peak.minute_us) : "–");
	say($("peak-second-at"), peak ? moment(peak.second_us) : "–");
}

function renderTiles() {
	const { rates, totals, money, settlement, latency, admission } = now;
	figure("shakes-second", rate(rates.shakes_per_second), rates.shakes_per_second);
	say($("received-note"), count(totals.shakes) + " in this run");
	figure("wins-second", rate(rates.wins_per_second), rates.wins_per_second);
	say($("wins-note"), count(totals.wins) + " in this run");
	figure("given", yuan(money.given_fen), money.given_fen);
	say($("given-note"), yuan(rates.given_fen_per_second) + " a second");
	figure("left", count(money.left), money.left);
	say($("left-note"), (money.funded ? percent(100 * money.left / money.funded) : "–") + " of " + count(money.funded));
	renderWaiting(settlement);
	const durable = latency && latency.durable;
	figure("durable-p99", durable ? milliseconds(durable.p99_ms) : "–", durable && durable.p99_ms);
	say($("durable-note"), durable ? "p50 " + milliseconds(durable.p50_ms) + ", max " + milliseconds(durable.max_ms)
		: "no win in the last 10 s");
	figure("admission", percent(admission.admission_percent), admission.admission_percent);
	say($("admission-note"), admission.overloaded ? "▲ " + admission.overloaded + " overloaded, " + rate(rates.shed_per_second) + " /s shed"
		: rates.shed_per_second > 0 ? rate(rates.shed_per_second) + " shed a second" : "nothing is shed");
}

function renderWaiting(s) {
	const title = $("unsettled").closest(".tile").querySelector("h2");
	if (s.unsettled != null) {
		say(title, "Settlement waiting");
		figure("unsettled", count(s.unsettled), s.unsettled);
		say($("unsettled-note"), "oldest " + duration(s.unsettled_age_s));
	} else {
		say(title, "Waiting for the disk");
		figure("unsettled", count(s.undurable), s.undurable);
		say($("unsettled-note"), "oldest " + duration(s.undurable_age_s));
	}
}

// ---- campaigns ---------------------------------------------------------------------------------

const STATE = { open: "● open", paused: "‖ paused", early: "○ early", empty: "□ empty", closed: "× closed", draining: "▼ draining" };
const COLUMNS = [["name"], ["state"], ["left n"], ["share"], ["yuan n", "yuan"], ["rate n", "a second"], ["odds n", "odds"], ["empty n", "empty"]];

function makeCampaign() {
	const row = make("tr");
	row.setAttribute("role", "row");
	for (const [name, label] of COLUMNS) {
		const cell = make("td", name);
		cell.setAttribute("role", "cell");
		if (label)
			cell.dataset.label = label;
		row.append(cell);
	}
	row.children[0].append(make("small"), make("span"));
	row.children[3].append(make("span", "track"));
	row.children[3].firstChild.append(make("span"));
	row.children[7].append(make("span", "live"), document.createTextNode(" "), make("span", "in"));
	for (const i of [2, 4, 5])
		row.children[i].classList.add("live");
	return row;
}

// [when it will be empty, in how long, whether that is soon]
function emptiness(c) {
	if (c.state === "empty" || c.left === 0)
		return ["empty", "", false];
	if (c.empty_us == null)
		return ["–", "", false];
	// With a capture that is played, its close is of the capture's time, and this of ours.
	if (now.clock !== "packet" && c.closes_us && c.empty_us > c.closes_us)
		return ["lasts", "to its close", false];
	return [moment(c.empty_us), "in " + duration(c.empty_in_s), c.empty_in_s < SOON_S / 2];
}

function updateCampaign(row, c) {
	const [name, state, left, share, money, given, odds, empty] = row.children;
	attribute(row, "data-campaign", c.id);
	say(name.firstChild, String(c.id));
	say(name.lastChild, c.name || "campaign");
	attribute(state, "data-state", c.state);
	say(state, STATE[c.state] || c.state);
	say(left, count(c.left));
	attribute(left, "data-value", c.left);
	const of = c.funded ? 100 * c.left / c.funded : 0;
	share.firstChild.firstChild.style.width = of + "%";
	attribute(share, "title", percent(of) + " left of " + count(c.funded));
	say(money, yuan(c.left_fen));
	say(given, rate(c.given_per_second));
	say(odds, String(+(c.odds || 0).toPrecision(4)));
	const [at, within, soon] = emptiness(c);
	say(empty.firstChild, (soon ? "▲ " : "") + at);
	say(empty.lastChild, within);
	empty.classList.toggle("soon", soon);
}

// Those that will be empty soon first, the soonest at the top; the others stay in their order.
function inOrder(campaigns) {
	const soon = (c) => c.state === "open" && c.left > 0 && c.empty_in_s != null && c.empty_in_s < SOON_S;
	return [...campaigns.filter(soon).sort((a, b) => a.empty_in_s - b.empty_in_s), ...campaigns.filter((c) => !soon(c))];
}

function renderCampaigns() {
	const all = now.campaigns, word = $("find").value.trim().toLowerCase();
	const match = (c) => !word || String(c.id).startsWith(word) || (c.name || "").toLowerCase().includes(word);
	const shown = inOrder(all.filter(match));
	$("find-label").hidden = all.length < FIND_FROM;
	each($("campaign-rows"), shown, (c) => c.id, makeCampaign, updateCampaign);
	const notes = [];
	if (shown.length < all.length)
		notes.push(count(all.length - shown.length) + " don't match");
	if (now.campaigns_not_shown)
		notes.push(count(now.campaigns_not_shown) + " more campaigns are not shown: hongbaoctl campaign list");
	if (!all.length)
		notes.push("no campaign");
	say($("campaign-note"), notes.join("; "));
	say($("campaigns-title"), "Campaigns" + (all.length > 1 ? ", " + count(all.length + (now.campaigns_not_shown || 0)) : ""));
}

// ---- cores -------------------------------------------------------------------------------------

function makeBar() {
	const node = make("li"), of = make("span", "of");
	of.append(make("span"));
	node.append(make("span", "load live"), of, make("span", "who"));
	return node;
}

function updateBar(node, w) {
	const [load, of, who] = node.children;
	const hot = w.overloaded || w.load_percent > 90;
	node.classList.toggle("hot", Boolean(hot));
	say(load, (hot ? "▲" : "") + Math.round(w.load_percent) + "%");
	of.firstChild.style.height = Math.min(100, w.load_percent) + "%";
	say(who, (w.host != null ? w.host + "·" : "") + w.worker);
	attribute(node, "title", "worker " + w.worker + ": " + count(w.received_per_second) + " a second, lets in "
		+ percent(w.admission_percent) + ", table of users " + percent(w.users_percent) + " full"
		+ (w.overloaded ? ", OVERLOADED" : ""));
}

function renderWorkers() {
	each($("bars"), now.workers, (w) => (w.peer || "") + "/" + w.worker, makeBar, updateBar);
	const { load, handover } = now;
	say($("workers-readout"), "mean " + percent(load.load_percent) + ", busiest " + percent(load.busiest_percent)
		+ (load.balance_percent != null ? ", balance " + percent(load.balance_percent) : ""));
	say($("handover"), "handed over " + rate(handover.handed_over_per_second) + " /s, " + percent(handover.handed_over_percent)
		+ "; misdirected " + percent(handover.misdirected_percent));
}

// ---- settlement --------------------------------------------------------------------------------

function makePair() {
	const node = make("div");
	node.append(make("dt"), make("dd", "live"));
	return node;
}

function renderSettlement() {
	const s = now.settlement;
	const cells = [["disk", s.disk === "good" ? "✓ good" : "▲ " + s.disk.toUpperCase()],
		["not yet durable", count(s.undurable) + ", " + duration(s.undurable_age_s)],
		["replies parked", count(s.parked)], ["journalled", rate(s.records_per_second) + " /s"],
		["slowest flush", milliseconds(s.slowest_flush_ms)],
		["settled", s.settled == null ? "not known" : rate(s.settled_per_second) + " /s"]];
	each($("settlement"), cells, (c) => c[0], makePair, (node, [name, value]) => {
		say(node.firstChild, name);
		say(node.lastChild, value);
		node.lastChild.classList.toggle("bad", value.startsWith("▲"));
	});
}

// ---- drops and answers -------------------------------------------------------------------------

// In words, where the reason's own word isn't enough (the README's table has all).
const REASON = {
	truncated: "shorter than its headers say", jumbo: "too long, or in pieces", not_ip: "neither IPv4 nor IPv6",
	not_ours: "for another address", source: "from where no reply can go", not_udp: "ICMP, TCP, …",
	port: "for a port outside the range", epoch: "names a key that isn't here", tag: "forged",
	handover: "lost: another core's ring was full", control: "ARP, ping beyond what is taken",
	pass: "lost: the sending core's ring was full", tx: "lost: the NIC took no more",
};
const LOST = new Set(["handover", "pass", "tx"]);

function makeRate() {
	const node = make("li"), name = make("span");
	name.append(make("b"), document.createTextNode(" "), make("span", "why"));
	const value = make("span", "rate live");
	value.append(make("span"), document.createTextNode(" "), make("small"));
	node.append(name, value);
	return node;
}

function rates(list, items, name, why) {
	const sorted = [...items].sort((a, b) => b.last_10s_per_second - a.last_10s_per_second || b.count - a.count);
	each(list, sorted, (x) => x[name], makeRate, (node, x) => {
		const [what, value] = node.children;
		say(what.firstChild, x[name]);
		say(what.lastChild, why(x[name]) || "");
		node.classList.toggle("lost", LOST.has(x[name]) && x.last_10s_per_second > 0);
		attribute(node, "data-name", x[name]);
		attribute(node, "data-count", x.count);
		say(value.firstChild, rate(x.last_10s_per_second) + " /s");
		say(value.lastChild, count(x.count));
	});
}

function renderDrops() {
	say($("drops-readout"), now.drops.length ? rate(now.rates.dropped_per_second) + " a second" : "nothing is dropped");
	rates($("drops"), now.drops, "reason", (reason) => REASON[reason]);
	rates($("replies"), now.replies, "status", () => "");
}

// ---- changes -----------------------------------------------------------------------------------

const flagOf = (change) => (change.version ? "v" + change.version : "•");

function makeChange() {
	const node = make("li");
	node.append(make("span", "flag"), make("span", "what"), make("span", "who"));
	return node;
}

function renderChanges() {
	const list = [...now.changes].reverse();
	each($("changes"), list, (c) => [c.peer, c.time_us, c.command, c.what].join(), makeChange, (node, c) => {
		const [flag, what, who] = node.children;
		say(flag, flagOf(c));
		say(what, c.what || c.command);
		say(who, moment(c.time_us) + " " + c.who.split(" (")[0] + (c.what ? ", " + c.command : "") + (c.host != null ? ", host " + c.host : ""));
	});
	const none = list.length ? "" : "none in this run";
	say($("changes-title"), "Changes by operators" + (none && ": " + none));
}

// ---- charts ------------------------------------------------------------------------------------

// Not by colour alone: each series of a chart has its own dashes.
const DASHES = [null, [7, 4], [2, 3], [12, 4, 2, 4], [4, 2], [1, 4]];
const INKS = ["--bar", "--blue", "--violet", "--green", "--amber", "--ink"];

// What a chart shows: series of [name, values of the history, text of a value]; the text of its axis; of `first`
// the colour that its first series has; of `wide` the room for the axis' texts, in em.
const CHARTS = {
	"c-shakes": { fill: true, flags: true, axis: short, series: (h) => {
		const list = [["shakes", h.shakes_per_second, rate]];
		if (h.busiest_shakes_per_second)
			list.push(["busiest second", h.busiest_shakes_per_second, rate]);
		return list;
	} },
	"c-wins": { fill: true, axis: short, first: 4, series: (h) => [["wins", h.wins_per_second, rate]] },
	"c-burn": { series: burnDown, axis: (y) => y + "%", top: 100 },
	"c-load": { series: (h) => [["busiest", h.busiest_percent, percent], ["mean", h.load_percent, percent], ["let in", h.admission_percent, percent]],
		axis: (y) => y + "%", top: 105 },
	"c-durable": { wide: 4.4, series: (h) => [["p99", h.durable_p99_ms, milliseconds], ["p50", h.durable_p50_ms, milliseconds]], axis: (y) => short(y) + " ms" },
};

// Envelopes left, in percent of what each campaign was funded with.
function burnDown(h) {
	const known = new Map(now.campaigns.map((c) => [c.id, c]));
	const rank = (c) => (known.get(c.id).state === "open" ? 0 : 1);
	return (h.campaigns || []).filter((c) => known.has(c.id) && known.get(c.id).funded).sort((a, b) => rank(a) - rank(b))
		.slice(0, DASHES.length).map((c) => {
			const funded = known.get(c.id).funded;
			return [c.name || "campaign " + c.id, c.left.map((left) => (left == null ? null : 100 * left / funded)), percent];
		});
}

const charts = new Map();

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const seriesInk = (what, i) => ink(INKS[((what.first || 0) + i) % INKS.length]);

function swatch(what, i) {
	const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "line");
	for (const [name, value] of [["width", 20], ["height", 8], ["class", "swatch"], ["aria-hidden", "true"]])
		svg.setAttribute(name, value);
	for (const [name, value] of [["x1", 0], ["x2", 20], ["y1", 4], ["y2", 4], ["stroke", seriesInk(what, i)], ["stroke-width", 3],
		["stroke-dasharray", (DASHES[i] || []).join(" ")]])
		line.setAttribute(name, value);
	svg.append(line);
	return svg;
}

// The rows of a chart, and with it its options that follow from them.
function chartData(h, series) {
	const rows = [];
	for (let i = 0; i < h.rows; i++) {
		const row = [h.first_us / 1000 + i * h.step_s * 1000];
		for (const s of series) {
			const v = s[1] && s[1][i];
			row.push(v == null ? null : v);
		}
		rows.push(row);
	}
	return rows;
}

// As far back as was asked for, but not to where nothing is known.
function chartWindow(rows) {
	const end = serverMs(), known = rows.length ? rows[0][0] : end;
	return [Math.max(end - range * 1000, Math.min(known, end - LEAST_RANGE_MS)), end];
}

function optionsOf(chart) {
	const { what, series } = chart;
	const perSeries = {};
	series.forEach((s, i) => {
		perSeries[s[0]] = { strokePattern: DASHES[i], color: seriesInk(what, i), fillGraph: Boolean(what.fill && i === 0) };
	});
	const fontSize = Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.82);
	return {
		labels: ["time", ...series.map((s) => s[0])], series: perSeries, legend: "never", strokeWidth: 2, fillAlpha: 0.16,
		axisLabelFontSize: fontSize, axisLineColor: ink("--line"), gridLineColor: ink("--grid"), includeZero: true, xRangePad: 0,
		highlightCircleSize: 4, interactionModel: {}, animatedZooms: false,
		axes: {
			x: { ticker: Dygraph.dateTicker, axisLabelFormatter: axisTime, drawGrid: false, axisLabelWidth: fontSize * 5.6, pixelsPerLabel: fontSize * 7 },
			y: { axisLabelFormatter: (y) => what.axis(+y.toPrecision(6)), axisLabelWidth: fontSize * (what.wide || 3.4), pixelsPerLabel: chart.div.clientHeight < 110 ? 20 : 32,
				valueRange: what.top ? [0, what.top] : [0, null] },
		},
		underlayCallback: (canvas, area, g) => marks(canvas, area, g, what.flags),
		highlightCallback: (event, x, points, row) => select(chart, row, false),
		unhighlightCallback: () => select(chart, null, false),
	};
}

function axisTime(ms) {
	const d = new Date(ms);
	return two(d.getHours()) + ":" + two(d.getMinutes()) + (d.getSeconds() ? ":" + two(d.getSeconds()) : "");
}

// Changes by operators and starts, as upright lines; on the big chart with the flag that the list has too.
function marks(canvas, area, g, flags) {
	const [from, to] = g.xAxisRange();
	const list = now.changes.map((c) => [c.time_us / 1000, flagOf(c), "--violet"]);
	list.push([now.started_us / 1000, "start", "--green"]);
	list.sort((a, b) => b[0] - a[0]);
	let last = Infinity;
	canvas.save();
	canvas.font = "600 " + Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8) + "px system-ui, sans-serif";
	for (const [ms, flag, colour] of list) {
		if (ms < from || ms > to)
			continue;
		const x = Math.round(g.toDomXCoord(ms)) + 0.5, wide = canvas.measureText(flag).width + 8;
		canvas.strokeStyle = canvas.fillStyle = ink(colour);
		canvas.setLineDash([4, 3]);
		canvas.beginPath();
		canvas.moveTo(x, area.y);
		canvas.lineTo(x, area.y + area.h);
		canvas.stroke();
		if (!flags || x + wide > last)
			continue;
		canvas.fillText(flag, x + 3, area.y + 12);
		last = x;
	}
	canvas.restore();
}

// Draws a chart, or makes it when there is something to draw.
function drawChart(id) {
	const what = CHARTS[id], h = past[range > HOUR_ROWS ? 60 : 1];
	if (!h || !now || !window.Dygraph)
		return;
	let chart = charts.get(id);
	const series = what.series(h);
	if (!series.length || !h.rows)
		return;
	const shape = range + "|" + series.map((s) => s[0]).join("|");
	if (!chart) {
		chart = { id, what, div: $(id), readout: $(id + "-readout"), at: null };
		charts.set(id, chart);
		makeReachable(chart);
	}
	Object.assign(chart, { series, rows: chartData(h, series) });
	if (!chart.graph || chart.shape !== shape) {
		if (chart.graph)
			chart.graph.destroy();
		chart.shape = shape;
		chart.graph = new Dygraph(chart.div, chart.rows, { ...optionsOf(chart), dateWindow: chartWindow(chart.rows) });
		writeKeys(chart);
	} else
		chart.graph.updateOptions({ file: chart.rows, dateWindow: chartWindow(chart.rows) });
	readout(chart);
}

function renderCharts() {
	if (document.hidden || !now)
		return;
	for (const id of Object.keys(CHARTS))
		drawChart(id);
}

// Colours and sizes changed.
function restyleCharts() {
	for (const chart of charts.values())
		chart.shape = null;
	renderCharts();
}

function writeKeys(chart) {
	chart.readout.replaceChildren(make("span", "when"), ...chart.series.map((s, i) => {
		const key = make("span", "key");
		key.append(swatch(chart.what, i), document.createTextNode(s[0] + " "), make("b"));
		return key;
	}));
}

// The row that is pointed at, else the last one, which is told only while it is live.
function readout(chart) {
	const row = chart.at != null ? chart.rows[chart.at] : isOld ? null : chart.rows[chart.rows.length - 1];
	const [when, ...keys] = chart.readout.children;
	say(when, chart.at != null && row ? moment(row[0] * 1000) : "");
	keys.forEach((key, i) => say(key.lastChild, row ? chart.series[i][2](row[i + 1]) : ""));
	attribute(chart.div, "aria-label", "Chart: " + chart.series.map((s) => s[0]).join(", ") + ". Arrow keys read it out, Escape ends that.");
}

function select(chart, row, byKey) {
	chart.at = row;
	readout(chart);
	if (byKey)
		say($("said"), chart.readout.textContent);
}

// By keyboard: arrows step through what is shown, Home and End go to its ends.
function makeReachable(chart) {
	const { div } = chart;
	for (const [name, value] of [["tabindex", 0], ["role", "group"], ["aria-roledescription", "chart"]])
		div.setAttribute(name, value);
	div.addEventListener("keydown", (event) => {
		const last = chart.rows.length - 1, page = Math.max(1, Math.round(last / 20));
		const [from] = chartWindow(chart.rows);
		const first = Math.max(0, chart.rows.findIndex((row) => row[0] >= from));
		const at = chart.at == null ? last : chart.at;
		const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - page, PageDown: at + page, Home: first, End: last }[event.key];
		if (event.key === "Escape") {
			chart.graph.clearSelection();
			select(chart, null, false);
		} else if (to != null) {
			const row = Math.min(last, Math.max(first, to));
			event.preventDefault();
			chart.graph.setSelection(row);
			select(chart, row, true);
		}
	});
	div.addEventListener("blur", () => select(chart, null, false));
	new ResizeObserver(() => {
		if (chart.graph && div.clientWidth)
			chart.graph.resize();
	}).observe(div);
}

// ---- the whole ---------------------------------------------------------------------------------

function render() {
	renderLive();
	renderHead();
	renderAlerts();
	renderHero();
	renderTiles();
	renderCampaigns();
	renderWorkers();
	renderSettlement();
	renderDrops();
	renderChanges();
	renderCharts();
	say($("foot"), "hongbao " + now.version + (now.pages ? " · " + count(now.pages.open) + " pages open, the service thread takes "
		+ percent(now.pages.cpu_percent) + " of a core" : "") + " · " + moment(now.time_us));
}

function stored(key, value) {
	try {
		if (value !== undefined)
			localStorage.setItem(key, value);
		return localStorage.getItem(key);
	} catch (error) {
		return null; // a browser that keeps nothing
	}
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
	const chosen = document.querySelector("input[name=theme]:checked").value;
	document.documentElement.dataset.theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
	restyleCharts();
}

function begin() {
	// The legend sets inline styles through attributes, which the policy forbids; the page writes its own.
	Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin.prototype.toString() !== "Legend Plugin");
	for (const name of ["theme", "range"]) {
		const kept = document.querySelector("input[name=" + name + "][value='" + (stored("hongbao-" + name) || "").replace(/\W/g, "") + "']");
		if (kept)
			kept.checked = true;
	}
	range = +document.querySelector("input[name=range]:checked").value;
	$("theme").addEventListener("change", (event) => {
		stored("hongbao-theme", event.target.value);
		applyTheme();
	});
	$("range").addEventListener("change", (event) => {
		range = +event.target.value;
		stored("hongbao-range", event.target.value);
		if (range > HOUR_ROWS)
			fetchHistory(60);
		renderCharts();
	});
	dark.addEventListener("change", applyTheme);
	$("find").addEventListener("input", () => now && renderCampaigns());
	$("alert-more").addEventListener("click", () => {
		allAlerts = !allAlerts;
		renderAlerts();
	});
	document.addEventListener("visibilitychange", renderCharts);
	applyTheme();
	connect();
	tick();
	setInterval(tick, TICK_MS);
}

begin();

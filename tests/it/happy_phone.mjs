// A phone of an account of its own, made of Happy's own libraries, and our daemon. Each step that worked is one line on
// standard output.
//
// usage: node happy_phone.mjs RELAY HAPPY_PACKAGE PAIRING_LINK HOME_OF_THE_DAEMON
import { createRequire } from 'node:module';
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';

const [relay, happy, link, home] = process.argv.slice(2);
const require = createRequire(path.join(happy, 'package.json'));
const nacl = require('tweetnacl');
const { io } = require('socket.io-client');

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const step = (name) => console.log(`ok ${name}`);

function fail(why) {
  throw new Error(why);
}

async function until(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) fail(`${what} did not happen within ${seconds} s`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

async function http(method, route, body, token) {
  const answer = await fetch(relay + route, {
    method,
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) fail(`${method} ${route}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const seal = (key, value) => {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
  return base64(Buffer.concat([Buffer.from([0]), nonce, sealed, cipher.getAuthTag()]));
};
const open = (key, text) => {
  const sealed = Buffer.from(text, 'base64');
  const plain = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 13));
  plain.setAuthTag(sealed.subarray(-16));
  const json = Buffer.concat([plain.update(sealed.subarray(13, -16)), plain.final()]).toString();
  return json === '' ? null : JSON.parse(json);
};

async function main() {
  const signing = nacl.sign.keyPair();
  const content = nacl.box.keyPair();
  const challenge = nacl.randomBytes(32);
  const { token } = await http('POST', '/v1/auth', {
    publicKey: base64(signing.publicKey),
    challenge: base64(challenge),
    signature: base64(nacl.sign.detached(challenge, signing.secretKey)),
  });
  step('account');

  const [, offered] = /^happy:\/\/terminal\?([A-Za-z0-9_-]{43})$/.exec(link) ?? fail(`no link of Happy's: ${link}`);
  const terminal = new Uint8Array(Buffer.from(offered, 'base64url'));
  const status = await http('GET', `/v1/auth/request/status?publicKey=${encodeURIComponent(base64(terminal))}`);
  if (status.status !== 'pending' || !status.supportsV2) fail(`pairing stands at ${JSON.stringify(status)}`);
  const ephemeral = nacl.box.keyPair();
  const nonce = nacl.randomBytes(24);
  const answer = nacl.box(new Uint8Array([0, ...content.publicKey]), nonce, terminal, ephemeral.secretKey);
  await http('POST', '/v1/auth/response', {
    publicKey: base64(terminal), response: base64([...ephemeral.publicKey, ...nonce, ...answer]),
  }, token);
  step('pairing');

  const unwrap = (text) => {
    const wrapped = bytes(text);
    return nacl.box.open(wrapped.slice(57), wrapped.slice(33, 57), wrapped.slice(1, 33), content.secretKey);
  };
  const machine = await until('the machine', async () => (await http('GET', '/v1/machines', undefined, token)).find((one) => one.active));
  const machineKey = unwrap(machine.dataEncryptionKey);
  const about = open(machineKey, machine.metadata);
  for (const field of ['host', 'platform', 'happyCliVersion', 'homeDir', 'happyHomeDir', 'cliAvailability', 'resumeSupport']) {
    if (about[field] === undefined) fail(`the machine does not say its ${field}`);
  }
  await until('the running state', async () => {
    const now = (await http('GET', `/v1/machines/${machine.id}`, undefined, token)).machine;
    return now.daemonState && open(machineKey, now.daemonState).status === 'running';
  });
  step('machine');

  // Nobody looks: whoever is not looking is woken.
  const heard = [];
  const socket = io(relay, { path: '/v1/updates', transports: ['websocket'], auth: { token, clientType: 'user-scoped', appState: 'background' } });
  socket.on('update', (update) => heard.push(update.body));
  socket.on('ephemeral', (body) => heard.push(body));
  await new Promise((connected, refused) => { socket.once('connect', connected); socket.once('connect_error', refused); });
  const call = async (key, method, params) => {
    const reply = await socket.timeout(40000).emitWithAck('rpc-call', { method, params: seal(key, params) });
    if (!reply.ok) fail(`${method}: ${reply.error}`);
    return open(key, reply.result);
  };
  const listed = await call(machineKey, `${machine.id}:listDirectory`, { path: home });
  if (!listed.success || !Array.isArray(listed.entries)) fail(JSON.stringify(listed));
  step('machine call');

  const directory = path.join(home, 'new');
  const wanted = { type: 'spawn-in-directory', directory, approvedNewDirectoryCreation: false, agent: 'fake' };
  const asked = await call(machineKey, `${machine.id}:spawn-happy-session`, wanted);
  if (asked.type !== 'requestToApproveDirectoryCreation' || asked.directory !== directory) fail(JSON.stringify(asked));
  step('spawn asks');
  const spawned = await call(machineKey, `${machine.id}:spawn-happy-session`, { ...wanted, approvedNewDirectoryCreation: true });
  if (spawned.type !== 'success') fail(JSON.stringify(spawned));
  const sid = spawned.sessionId;
  step('spawn');

  const row = async () => (await http('GET', '/v1/sessions', undefined, token)).sessions.find((one) => one.id === sid);
  const sessionKey = unwrap((await row()).dataEncryptionKey);
  const shown = open(sessionKey, (await row()).metadata);
  if (shown.path !== directory || shown.machineId !== machine.id || shown.flavor !== 'fake') fail(JSON.stringify(shown));
  await until('the announcement', () => heard.some((body) => body.t === 'new-session' && body.id === sid));
  const inside = await call(sessionKey, `${sid}:listDirectory`, { path: directory });
  if (!inside.success) fail(JSON.stringify(inside));
  step('session call');

  const say = (text) => http('POST', `/v3/sessions/${sid}/messages`, {
    messages: [{ localId: randomUUID(), content: seal(sessionKey, { role: 'user', content: { type: 'text', text }, meta: { sentFrom: 'test', permissionMode: 'default' } }) }],
  }, token);
  const events = async () => {
    const page = await http('GET', `/v3/sessions/${sid}/messages?after_seq=0&limit=500`, undefined, token);
    const records = page.messages.map((one) => open(sessionKey, one.content.c));
    return records.filter((one) => one.role === 'session').map((one) => one.content);
  };
  await say('hello');
  const turn = await until('a whole turn', async () => {
    const all = await events();
    return all.some((one) => one.ev.t === 'turn-end' && one.ev.status === 'completed') && all;
  });
  if (turn.map((one) => one.ev.t).join() !== 'turn-start,text,turn-end') fail(JSON.stringify(turn));
  if (turn[1].ev.text !== 'got: hello' || !turn.every((one) => /^[a-z][a-z0-9]{23}$/.test(one.id))) fail(JSON.stringify(turn));
  step('message');

  await say('do ask touch x; say done');
  const state = async () => open(sessionKey, (await row()).agentState);
  const request = await until('the question', async () => Object.keys((await state())?.requests ?? {})[0]);
  const decided = await call(sessionKey, `${sid}:permission`, { id: request, approved: true });
  if (decided?.error) fail(JSON.stringify(decided));
  await until('the decision', async () => {
    const now = await state();
    return !now.requests[request] && now.completedRequests?.[request]?.status === 'approved';
  });
  await until('the agent to go on', async () => (await events()).some((one) => one.ev.text === 'done'));
  step('permission');
  for (const kind of ['permission', 'done']) {
    await until(`the word that it is ${kind}`, () => heard.some((body) => body.type === 'session-event' && body.sessionId === sid && body.kind === kind));
  }
  step('woken');

  const killed = await call(sessionKey, `${sid}:killSession`, {});
  if (!killed.success) fail(JSON.stringify(killed));
  await until('the end of the session', async () => {
    const now = await row();
    return now.active === false && open(sessionKey, now.metadata).lifecycleState === 'archived';
  });
  step('kill');
  socket.close();
}

main().then(
  () => process.exitCode = 0,
  (why) => { console.log(`failed: ${why.stack}`); process.exitCode = 1; },
).finally(() => process.exit());

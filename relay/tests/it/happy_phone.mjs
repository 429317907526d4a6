// The phone of the test with the real `happy` CLI: an account of its own, driven with Happy's own libraries (tweetnacl and
// the official Socket.IO client), so that nothing of ours is on the client's side. It pairs the CLI, starts its daemon,
// and walks through what a person does with a phone. Each step that worked is one line on standard output.
//
// usage: node happy_phone.mjs RELAY HAPPY_PACKAGE HOME_DIRECTORY WORK_DIRECTORY
import { createRequire } from 'node:module';
import { spawn } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [relay, happy, home, work] = process.argv.slice(2);
const require = createRequire(path.join(happy, 'package.json'));
const nacl = require('tweetnacl');
const { io } = require('socket.io-client');

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const step = (name) => console.log(`ok ${name}`);
const environment = { ...process.env, HAPPY_HOME_DIR: home, HAPPY_SERVER_URL: relay, HAPPY_DISABLE_CAFFEINATE: '1', CI: 'false' };
const children = [];

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
  // An account.
  const signing = nacl.sign.keyPair();
  const content = nacl.box.keyPair();
  const challenge = nacl.randomBytes(32);
  const { token } = await http('POST', '/v1/auth', {
    publicKey: base64(signing.publicKey),
    challenge: base64(challenge),
    signature: base64(nacl.sign.detached(challenge, signing.secretKey)),
  });
  step('account');

  // The real login screen, on a terminal of its own.
  const login = spawn('script', ['-qec', `stty cols 200 rows 60; "${process.execPath}" --no-warnings --no-deprecation "${happy}/dist/index.mjs" auth login`, '/dev/null'], { env: environment });
  children.push(login);
  let screen = '';
  login.stdout.on('data', (chunk) => { screen += chunk; });
  login.stderr.on('data', (chunk) => { screen += chunk; });
  await until('the choice of a phone', () => screen.includes('Mobile App') || screen.includes('authenticate'));
  const link = await until('the pairing link', () => {
    if (!screen.includes('happy://')) login.stdin.write('1');
    return /happy:\/\/terminal\?([A-Za-z0-9_-]{43})/.exec(screen);
  });
  const terminal = new Uint8Array(Buffer.from(link[1], 'base64url'));
  const status = await http('GET', `/v1/auth/request/status?publicKey=${encodeURIComponent(base64(terminal))}`);
  if (status.status !== 'pending' || !status.supportsV2) fail(`pairing stands at ${JSON.stringify(status)}`);
  const ephemeral = nacl.box.keyPair();
  const nonce = nacl.randomBytes(24);
  const answer = nacl.box(new Uint8Array([0, ...content.publicKey]), nonce, terminal, ephemeral.secretKey);
  await http('POST', '/v1/auth/response', {
    publicKey: base64(terminal), response: base64([...ephemeral.publicKey, ...nonce, ...answer]),
  }, token);
  await until('the key file', () => existsSync(path.join(home, 'access.key')));
  // It writes more than the key: a login ended here would leave a machine without a name.
  await until('the end of the login', () => login.exitCode !== null);
  step('pairing');

  // Its daemon.
  const daemon = spawn(process.execPath, ['--no-warnings', '--no-deprecation', `${happy}/dist/index.mjs`, 'daemon', 'start-sync'], { env: environment, stdio: 'ignore' });
  children.push(daemon);
  const machine = await until('the machine', async () => (await http('GET', '/v1/machines', undefined, token)).find((one) => one.active));
  const wrapped = bytes(machine.dataEncryptionKey);
  const machineKey = nacl.box.open(wrapped.slice(57), wrapped.slice(33, 57), wrapped.slice(1, 33), content.secretKey);
  const state = await until('the running state', async () => {
    const now = (await http('GET', `/v1/machines/${machine.id}`, undefined, token)).machine;
    const opened = open(machineKey, now.daemonState);
    return opened.status === 'running' && opened;
  });
  if (open(machineKey, machine.metadata).happyCliVersion !== '1.2.5') fail('not the version this test is for');
  step('machine');

  // A phone's connection, and calls over it.
  const heard = [];
  const socket = io(relay, { path: '/v1/updates', transports: ['websocket'], auth: { token, clientType: 'user-scoped', appState: 'active' } });
  socket.on('update', (update) => heard.push(update.body));
  await new Promise((connected, refused) => { socket.once('connect', connected); socket.once('connect_error', refused); });
  const call = async (key, method, params) => {
    const reply = await socket.timeout(40000).emitWithAck('rpc-call', { method, params: seal(key, params) });
    if (!reply.ok) fail(`${method}: ${reply.error}`);
    return open(key, reply.result);
  };
  const shell = await call(machineKey, `${machine.id}:bash`, { command: 'echo through the relay', cwd: work });
  if (shell.stdout !== 'through the relay\n') fail(JSON.stringify(shell));
  step('machine call');

  // A session in a directory that is not there yet.
  const directory = path.join(work, 'new');
  const wanted = { type: 'spawn-in-directory', directory, approvedNewDirectoryCreation: false, agent: 'claude' };
  const asked = await call(machineKey, `${machine.id}:spawn-happy-session`, wanted);
  if (asked.type !== 'requestToApproveDirectoryCreation') fail(JSON.stringify(asked));
  step('spawn asks');
  const spawned = await call(machineKey, `${machine.id}:spawn-happy-session`, { ...wanted, approvedNewDirectoryCreation: true });
  if (spawned.type !== 'success') fail(JSON.stringify(spawned));
  const sid = spawned.sessionId;
  step('spawn');

  const session = (await http('GET', '/v1/sessions', undefined, token)).sessions.find((one) => one.id === sid) ?? fail('the session is not listed');
  const sessionWrapped = bytes(session.dataEncryptionKey);
  const sessionKey = nacl.box.open(sessionWrapped.slice(57), sessionWrapped.slice(33, 57), sessionWrapped.slice(1, 33), content.secretKey);
  if (open(sessionKey, session.metadata).path !== directory) fail('the session is somewhere else');
  await until('the announcement', () => heard.some((body) => body.t === 'new-session' && body.id === sid));
  // At once: its own connection may not be there yet, and the call has to wait for it.
  const inside = await call(sessionKey, `${sid}:bash`, { command: 'pwd' });
  if (inside.stdout.trim() !== directory) fail(JSON.stringify(inside));
  step('session call');

  const written = await call(sessionKey, `${sid}:writeFile`, { path: path.join(directory, 'x'), content: base64(Buffer.from('x')), expectedHash: null });
  if (!written.success) fail(JSON.stringify(written));
  const big = await call(sessionKey, `${sid}:bash`, { command: 'head -c 400000 /dev/zero | tr "\\0" x' });
  if (big.stdout.length !== 400000) fail(`${big.stdout.length} bytes came`);
  step('large answer');

  // A message to it, and a duplicate, which is stored once.
  const localId = randomUUID();
  const content1 = seal(sessionKey, { role: 'user', content: { type: 'text', text: '/clear' }, meta: { sentFrom: 'test' } });
  for (let time = 0; time < 2; time += 1) {
    await http('POST', `/v3/sessions/${sid}/messages`, { messages: [{ content: content1, localId }] }, token);
  }
  const page = await http('GET', `/v3/sessions/${sid}/messages?after_seq=0&limit=100`, undefined, token);
  if (page.messages.filter((one) => one.localId === localId).length !== 1) fail('not stored once');
  await until('an answer of the session', async () => {
    const now = await http('GET', `/v3/sessions/${sid}/messages?after_seq=0&limit=100`, undefined, token);
    return now.messages.some((one) => open(sessionKey, one.content.c).role !== 'user');
  });
  step('messages');

  // It ends.
  const killed = await call(sessionKey, `${sid}:killSession`, {});
  if (!killed.success) fail(JSON.stringify(killed));
  await until('the end of the session', async () => {
    const rows = (await http('GET', '/v1/sessions', undefined, token)).sessions;
    return rows.find((one) => one.id === sid).active === false;
  });
  step('kill');

  // So does the daemon.
  const pid = state.pid;
  await call(machineKey, `${machine.id}:stop-daemon`, {});
  await until('the machine to be away', async () => (await http('GET', `/v1/machines/${machine.id}`, undefined, token)).machine.active === false);
  if (pid !== daemon.pid) fail(`the daemon said it was ${pid}`);
  step('stop');
  socket.close();
}

main().then(
  () => process.exitCode = 0,
  (why) => {
    console.log(`failed: ${why.stack}`);
    const logs = path.join(home, 'logs');
    for (const name of existsSync(logs) ? readdirSync(logs) : []) {
      console.log(`-- the end of ${name}:\n${readFileSync(path.join(logs, name), 'utf8').slice(-3000)}`);
    }
    process.exitCode = 1;
  },
).finally(() => {
  for (const child of children) child.kill();
  process.exit();
});

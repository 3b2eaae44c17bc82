// A WebSocket client of the plainest kind, on a TCP socket: it can do what browsers cannot (headers,
// broken frames, not reading, not answering pings).
import { randomBytes } from "node:crypto";
import { connect } from "node:net";

const WITHIN = 10_000;

export class WireSocket {
  /** Of the handshake's answer. */
  status = 0;
  headers = {};
  pings = 0;
  #socket;
  #bytes = Buffer.alloc(0);
  #messages = [];
  #close;
  #answersPings;
  #wake = () => {};

  /** @param address http://host:port/path */
  static async open(address, { headers = {}, protocols = [], answersPings = true } = {}) {
    const { hostname, port, pathname, search } = new URL(address);
    const opened = new WireSocket();
    opened.#answersPings = answersPings;
    opened.#socket = connect(Number(port), hostname);
    opened.#socket.on("error", () => {});
    opened.#socket.on("data", (data) => opened.#read(data));
    opened.#socket.on("close", () => {
      opened.#close ??= { code: 1006, reason: "" };
      opened.#wake();
    });
    const lines = {
      Host: `${hostname}:${port}`,
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
      ...(protocols.length && { "Sec-WebSocket-Protocol": protocols.join(", ") }),
      ...headers,
    };
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
    opened.#socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${head.join("")}\r\n`);
    await opened.#until(() => opened.status || opened.#close);
    return opened;
  }

  send(message) {
    this.sendText(JSON.stringify(message));
  }

  sendText(text) {
    this.sendFrame(1, Buffer.from(text));
  }

  /** @param masked false breaks the protocol, as an unknown opcode does. */
  sendFrame(opcode, payload, { masked = true } = {}) {
    const size = payload.length;
    const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10);
    head[0] = 0x80 | opcode;
    head[1] = size < 126 ? size : size < 65_536 ? 126 : 127;
    if (head.length === 4) head.writeUInt16BE(size, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
    if (!masked) return void this.#socket.write(Buffer.concat([head, payload]));
    head[1] |= 0x80;
    const mask = randomBytes(4);
    const hidden = Buffer.from(payload);
    for (let at = 0; at < size; at++) hidden[at] ^= mask[at % 4];
    this.#socket.write(Buffer.concat([head, mask, hidden]));
  }

  /** The next message. */
  async next(within = WITHIN) {
    await this.#until(() => this.#messages.length || this.#close, within);
    if (this.#messages.length) return this.#messages.shift();
    throw new Error(`closed with ${this.#close.code}: ${this.#close.reason}`);
  }

  /** The next message of this type; those before it are skipped. */
  async until(type) {
    for (;;) {
      const message = await this.next();
      if (message.type === type) return message;
    }
  }

  /** Send, and wait for what answers it. */
  async call(message) {
    this.send(message);
    for (;;) {
      const answer = await this.next();
      if (["ack", "error", "pong"].includes(answer.type)) return answer;
    }
  }

  /** The messages that come within so many milliseconds. */
  async all(within) {
    await new Promise((go) => setTimeout(go, within));
    return this.#messages.splice(0);
  }

  async closed(within = WITHIN) {
    await this.#until(() => this.#close, within);
    return this.#close;
  }

  stopReading() {
    this.#socket.pause();
  }

  readOn() {
    this.#socket.resume();
  }

  end() {
    this.#socket.destroy();
  }

  async #until(holds, within = WITHIN) {
    const ends = Date.now() + within;
    while (!holds()) {
      if (Date.now() >= ends) throw new Error(`nothing came within ${within} ms`);
      await new Promise((go) => {
        const timer = setTimeout(go, ends - Date.now());
        this.#wake = () => (clearTimeout(timer), go());
      });
    }
  }

  #read(data) {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    if (!this.status && !this.#readHead()) return;
    while (this.#readFrame());
    this.#wake();
  }

  #readHead() {
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [first, ...lines] = this.#bytes.subarray(0, end).toString("latin1").split("\r\n");
    this.#bytes = this.#bytes.subarray(end + 4);
    for (const line of lines) {
      const at = line.indexOf(":");
      this.headers[line.slice(0, at).toLowerCase()] = line.slice(at + 1).trim();
    }
    this.status = Number(first.split(" ")[1]);
    return this.status === 101;
  }

  #readFrame() {
    if (this.status !== 101 || this.#bytes.length < 2) return false;
    let size = this.#bytes[1] & 0x7f;
    let at = 2;
    if (size === 126) {
      if (this.#bytes.length < 4) return false;
      [size, at] = [this.#bytes.readUInt16BE(2), 4];
    } else if (size === 127) {
      if (this.#bytes.length < 10) return false;
      [size, at] = [Number(this.#bytes.readBigUInt64BE(2)), 10];
    }
    if (this.#bytes.length < at + size) return false;
    const payload = this.#bytes.subarray(at, at + size);
    const opcode = this.#bytes[0] & 0x0f;
    this.#bytes = this.#bytes.subarray(at + size);
    if (opcode === 1) this.#messages.push(JSON.parse(payload.toString()));
    if (opcode === 9) this.#pinged(payload);
    if (opcode === 8) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#close = { code, reason: payload.subarray(2).toString() };
      this.sendFrame(8, payload.subarray(0, 2));
    }
    return true;
  }

  #pinged(payload) {
    this.pings += 1;
    if (this.#answersPings) this.sendFrame(10, payload);
  }
}

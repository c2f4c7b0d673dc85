// A client of the contract in another language, with nothing but ZeroMQ and MessagePack.
//
// Reads commands as JSON lines from standard input and answers each with one JSON line:
//   {"connect": address}                                           -> {"ok": true}
//   {"ask": service, "fields": {...}, "timestamp": variant, "clock": bool}
//                                                                  -> {"service", "data", "asked"}
//   {"subscribe": address, "topics": [...]}                        -> {"ok": true}
//   {"receive": seconds}                                           -> {"topic", "body", "frames"} or {"nothing": true}
"use strict";

const readline = require("node:readline");
const zmq = require("zeromq");
const { decode, encode } = require("@msgpack/msgpack");

const REPLY_MS = 10_000;

const timestamps = {
  "int-seconds": () => Math.floor(Date.now() / 1000),
  "float-seconds": () => Date.now() / 1000,
  "int-milliseconds": () => Date.now(),
  "iso-8601": () => new Date().toISOString(),
  missing: () => undefined,
};

let request = null;
let subscriber = null;
let clock = 0;

function connect(address) {
  if (request) request.close();
  request = new zmq.Request({ receiveTimeout: REPLY_MS, linger: 0 });
  request.connect(address);
  return { ok: true };
}

async function ask(command) {
  clock += 1;
  const data = { ...command.fields };
  const timestamp = timestamps[command.timestamp]();
  if (timestamp !== undefined) data.timestamp = timestamp;
  if (command.clock) data.clock = clock;
  await request.send(encode({ service: command.ask, data }));
  const frames = await request.receive();
  const reply = decode(frames[0]);
  // As a Node client shows it: this is what a `timestamp` of seconds is for.
  const shown = new Date(reply.data.timestamp * 1000).toISOString();
  clock = Math.max(clock, reply.data.clock) + 1;
  return { ...reply, asked: data.clock ?? 0, frames: frames.length, shown };
}

function subscribe(command) {
  if (subscriber) subscriber.close();
  subscriber = new zmq.Subscriber({ linger: 0 });
  subscriber.connect(command.subscribe);
  subscriber.subscribe(...command.topics);
  return { ok: true };
}

async function receive(seconds) {
  subscriber.receiveTimeout = seconds * 1000;
  let frames;
  try {
    frames = await subscriber.receive();
  } catch (error) {
    if (error.code === "EAGAIN") return { nothing: true };
    throw error;
  }
  return { topic: frames[0].toString("utf8"), body: decode(frames[1]), frames: frames.length };
}

async function carryOut(command) {
  if (command.connect) return connect(command.connect);
  if (command.ask) return ask(command);
  if (command.subscribe) return subscribe(command);
  return receive(command.receive);
}

function plain(key, value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return value;
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await carryOut(JSON.parse(line));
    process.stdout.write(JSON.stringify(answer, plain) + "\n");
  }
  if (request) request.close();
  if (subscriber) subscriber.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

/** Opening, reading and silencing a WebSocket, whatever it throws. */
import type { Environment, Socket } from "./environment.ts";

/** A frame of the server, not yet looked at: all but its type is unknown. */
export type Frame = { readonly type: string } & Record<string, unknown>;

/** Open one. A constructor that throws (a URL or token that no socket takes) is one that was cut. */
export function open(env: Environment, address: string, token: string): Socket {
  try {
    return env.openSocket!(address, ["masterx.v1", `bearer.${token}`]);
  } catch (error) {
    const none: Socket = {
      readyState: 3,
      onopen: null,
      onmessage: null,
      onerror: null,
      onclose: null,
      send: () => {},
      close: () => {},
    };
    env.setTimeout(() => none.onclose?.({ code: 1006, reason: String(error) }), 0);
    return none;
  }
}

/** Hear nothing of it any more. */
export function silence(socket: Socket): void {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.onerror = null;
}

/** @returns undefined for what is no frame */
export function read(data: unknown): Frame | undefined {
  try {
    const frame: unknown = JSON.parse(data as string);
    return typeof (frame as Frame | null)?.type === "string" ? (frame as Frame) : undefined;
  } catch {
    return undefined;
  }
}

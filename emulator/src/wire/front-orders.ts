/** The front marks what it passes on with this header, and obeys it in the answer. Nobody else sees it. */
export const FRONT_HEADER = "x-emulator-front";

/** What only the front can do. The values of the header. */
export const DROP_CONNECTION = "drop";
export const falseContentLength = (length: number): string => `content-length=${length}`;
/** Announces `length` bytes of body and closes the connection after `bytes` of them. */
export const cutAfter = (bytes: number, length: number): string => `cut=${bytes} content-length=${length}`;

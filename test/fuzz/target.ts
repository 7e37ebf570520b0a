// What the fuzzer needs to know of a parser.

export interface Target {
  readonly name: string
  /** Good inputs, and past finds worth starting from. They are made once in each process. */
  readonly seeds: () => Promise<readonly Uint8Array[]>
  /** Lets the parser have the input; `folder` is empty and for this call alone. Rejects with what the parser throws. */
  readonly run: (input: Uint8Array, folder: string) => Promise<void>
  /** A change that knows the format. Without one, and half of the time, bytes are changed blindly. */
  readonly mutate?: (input: Uint8Array, random: () => number) => Uint8Array
}

// Lines of metrics.jsonl as TensorBoard's events: a protocol buffer `Event` (tensorflow/core/util/event.proto) for each
// line, with a scalar for each number in it, framed as a TFRecord with masked CRC-32C checksums.

/** A line of metrics: an optimizer step, or an evaluation after it with the name of its set as `split`. */
export type MetricsLine = { readonly step: number } & Readonly<Record<string, unknown>>

/** CRC-32C (Castagnoli), reflected, by table. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** As TFRecord stores checksums: rotated and shifted, so that a checksum of data with checksums in it is a good one. */
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0

/** A TFRecord: length, checksum of the length, data, checksum of the data. */
export function tfRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(12 + data.length + 4)
  const view = new DataView(record.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, masked(crc32c(record.subarray(0, 8))), true)
  record.set(data, 12)
  view.setUint32(12 + data.length, masked(crc32c(data)), true)
  return record
}

/** Bytes of a message's field, its number and wire type before them. */
type Field = readonly number[]

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) + 128)
  }
}

/** A number that is 0 is left out, as protocol buffers do. */
const integer = (field: number, value: number): Field => (value === 0 ? [] : [field << 3, ...varint(value)])
const double = (field: number, value: number): Field => [
  (field << 3) | 1,
  ...bytesOf(8, view => view.setFloat64(0, value, true)),
]
const float = (field: number, value: number): Field => [
  (field << 3) | 5,
  ...bytesOf(4, view => view.setFloat32(0, value, true)),
]
const bytes = (field: number, content: Iterable<number>): Field => {
  const list = [...content]
  return [(field << 3) | 2, ...varint(list.length), ...list]
}
const text = (field: number, value: string): Field => bytes(field, new TextEncoder().encode(value))

function bytesOf(size: number, fill: (view: DataView) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(size))
  fill(view)
  return new Uint8Array(view.buffer)
}

/** The record that an event file begins with. `time` is in seconds since 1970. */
export const firstRecord = (time: number): Uint8Array<ArrayBuffer> =>
  tfRecord(Uint8Array.from([...double(1, time), ...text(3, 'brain.Event:2')]))

/** What a line says beside its figures. */
const NO_FIGURES = ['step', 'split', 'wall_seconds']

/**
 * A line of metrics as a record; undefined if it has no figures. The scalars are called `train/loss`, or by the line's
 * `split`. `began` is when the run began, in seconds since 1970: an event's time is that of training, so that pauses
 * between processes do not show.
 */
export function recordOf(line: MetricsLine, began: number): Uint8Array<ArrayBuffer> | undefined {
  const { step, split = 'train', wall_seconds: seconds = 0 } = line
  const scalars = Object.entries(line).flatMap(([name, value]) =>
    typeof value === 'number' && !NO_FIGURES.includes(name)
      ? bytes(1, [...text(1, `${String(split)}/${name}`), ...float(2, value)])
      : [],
  )
  if (scalars.length === 0) return undefined
  return tfRecord(Uint8Array.from([...double(1, began + Number(seconds)), ...integer(2, step), ...bytes(5, scalars)]))
}

// The safetensors format (huggingface.co/docs/safetensors): an 8-byte header length, a JSON header, then one buffer
// that the tensors fill without holes. Headers come from strangers, so every promise in one is checked before a byte is
// read. Numbers that are not finite are neither read nor written. Nothing here knows where bytes lie: a ByteSource
// does, and models/node/files.ts has the one for files.
import { NonFinite, UserError } from '../engine/errors.ts'
import { isObject, needAll, needEach, needFunction } from '../engine/options.ts'
import { toFloat16, toFloat32 } from '../engine/float16.ts'
import { parseJson } from './json.ts'
import { show } from './show.ts'

/** Element types of the format and their bytes. Only those of `FLOATS` are ever converted; the rest are listed. */
const BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
}
const FLOATS: readonly string[] = ['F32', 'F16', 'BF16']
/** Longest header: 200,000 tensors, far more than models have. The reference implementation allows 100 MB. */
const LONGEST_HEADER = 16 * 1024 * 1024
const LENGTH_BYTES = 8
/** The least magnitude that rounds to f16's infinity; its largest number is 65504. */
export const LEAST_BEYOND_F16 = 65520
const CHUNK_BYTES = 8 * 1024 * 1024

/** Bytes at positions: a file, a Blob, a buffer. */
export interface ByteSource {
  /** Total bytes. */
  readonly size: number
  /** Exactly `length` bytes from `position` on, or a throw. */
  read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

/** One tensor of a header; `begin` and `end` are byte positions in the file. */
export interface TensorEntry {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

export interface Header {
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: Readonly<Record<string, string>>
}

/** Part of a tensor, in row-major order from `elementOffset` on. */
export interface TensorChunk {
  readonly elementOffset: number
  readonly data: Float32Array<ArrayBuffer>
}

/** Named tensors that stay where they are until asked for. */
export interface TensorFile {
  /** Where it came from, for messages. */
  readonly where: string
  readonly metadata: Readonly<Record<string, string>>
  names(): string[]
  has(name: string): boolean
  /** Throws a UserError if there is no such tensor. */
  info(name: string): { readonly dtype: string; readonly shape: readonly number[] }
  /**
   * The whole tensor, row-major, as f32 (from F32, F16 or BF16). Throws a UserError on any other dtype, and on NaN and
   * infinities, naming the tensor and the element.
   */
  read(name: string): Promise<Float32Array<ArrayBuffer>>
  /** The same in order, in pieces of at most `bytesPerChunk` bytes of the file (8 MiB when left out). */
  chunks(name: string, bytesPerChunk?: number): AsyncIterable<TensorChunk>
  /** The stored bytes in order, of any dtype and whatever they mean. */
  bytes(name: string): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** A tensor to be written: `data` is row-major; F16 rounds to nearest, ties to even. */
export interface TensorToWrite {
  readonly name: string
  readonly dtype: 'F32' | 'F16'
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** A tensor of whole numbers, which are stored as they are; `data` is row-major. */
export type IntegerTensor = Omit<TensorToWrite, 'dtype' | 'data'> &
  ({ readonly dtype: 'U32'; readonly data: Uint32Array } | { readonly dtype: 'U8'; readonly data: Uint8Array })

/** As a `TensorToWrite`, with its values fetched only when their turn comes (from the GPU, say). */
export interface LazyTensor extends Omit<TensorToWrite, 'data'> {
  read(): Promise<Float32Array>
}

/** Length of the header, from the first 8 bytes. Throws a UserError naming `where` unless it fits the file. */
export function headerLength(first: Uint8Array, fileSize: number, where: string): number {
  if (first.length < LENGTH_BYTES || fileSize < LENGTH_BYTES) {
    throw new UserError(
      `${where} is not a safetensors file: it has ${fileSize} bytes, fewer than the 8 of the header's length`,
    )
  }
  const length = Number(new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true))
  if (length > LONGEST_HEADER) {
    throw new UserError(`${where} is not a safetensors file: its first 8 bytes promise a header of ${length} bytes`)
  }
  if (length < 2) throw new UserError(`${where} is not a safetensors file: its header has ${length} bytes`)
  if (LENGTH_BYTES + length > fileSize) {
    throw new UserError(
      `${where} is truncated: its header should have ${length} bytes, the file has ${fileSize} in all`,
    )
  }
  return length
}

/**
 * Reads and checks a header: `first` is the file's first 8 bytes, `header` the JSON bytes after them. Throws a
 * UserError naming the file, the tensor and the lie: shapes that disagree with offsets, overlaps, holes, bytes missing
 * or left over.
 */
export function parseHeader(first: Uint8Array, header: Uint8Array, fileSize: number, where: string): Header {
  const length = headerLength(first, fileSize, where)
  if (header.length !== length) {
    throw new UserError(`${where} is truncated: its header should have ${length} bytes, ${header.length} are there`)
  }
  const json = parseObject(header, where)
  const dataStart = LENGTH_BYTES + length
  const metadata: Record<string, string> = {}
  const entries: TensorEntry[] = []
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') Object.assign(metadata, parseMetadata(value, where))
    else entries.push(parseEntry(name, value, dataStart, where))
  }
  checkLayout(entries, dataStart, fileSize, where)
  return { tensors: new Map(entries.map(entry => [entry.name, entry])), metadata }
}

function parseObject(header: Uint8Array, where: string): Record<string, unknown> {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header)
  } catch {
    throw new UserError(`${where}: the header is not JSON`)
  }
  const json = parseJson(text, `${where}: the header`)
  if (!isRecord(json)) throw new UserError(`${where}: the header is JSON, but no object`)
  return json
}

function parseMetadata(value: unknown, where: string): Record<string, string> {
  if (!isRecord(value)) throw new UserError(`${where}: __metadata__ is not an object`)
  const out: Record<string, string> = {}
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw new UserError(`${where}: __metadata__ entry ${show(key)} is not a string`)
    out[key] = text
  }
  return out
}

function parseEntry(name: string, value: unknown, dataStart: number, where: string): TensorEntry {
  const tensor = `${where}: tensor ${show(name)}`
  if (!isRecord(value)) throw new UserError(`${tensor} is not described by an object`)
  const { dtype, shape, data_offsets: offsets } = value
  const bytes = typeof dtype === 'string' && Object.hasOwn(BYTES, dtype) ? BYTES[dtype] : undefined
  if (typeof dtype !== 'string' || bytes === undefined) {
    throw new UserError(`${tensor} has an unknown dtype: ${show(dtype)}`)
  }
  if (!isSizes(shape)) throw new UserError(`${tensor} has a shape that is not a list of lengths: ${show(shape)}`)
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw new UserError(`${tensor} has data_offsets that are no pair of positions: ${show(offsets)}`)
  }
  const [begin, end] = offsets
  if (begin > end) throw new UserError(`${tensor} has data_offsets that run backwards: ${begin} to ${end}`)
  const wanted = shape.reduce((size, length) => size * length, bytes)
  if (end - begin !== wanted) {
    throw new UserError(
      `${tensor} is ${dtype} [${shape.join(', ')}], ${wanted} bytes, but its data_offsets span ${end - begin}`,
    )
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end }
}

/** The tensors, in the order of their offsets, must fill the rest of the file exactly. */
function checkLayout(entries: readonly TensorEntry[], dataStart: number, fileSize: number, where: string): void {
  const ordered = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)
  let at = dataStart
  let before = ''
  for (const { name, begin, end } of ordered) {
    if (begin < at) {
      throw new UserError(`${where}: tensor ${show(name)} overlaps ${show(before)} by ${at - begin} bytes`)
    }
    if (begin > at) throw new UserError(`${where}: ${begin - at} bytes before tensor ${show(name)} belong to no tensor`)
    if (end > fileSize) {
      throw new UserError(`${where} is truncated: tensor ${show(name)} ends at byte ${end}, the file has ${fileSize}`)
    }
    at = end
    before = name
  }
  if (at < fileSize) throw new UserError(`${where}: ${fileSize - at} bytes after the last tensor belong to no tensor`)
}

/** Index of the first element that is NaN, or whose magnitude is `limit` or more; −1 if there is none. 2 GB/s. */
export function firstBeyond(data: Float32Array, limit: number): number {
  // Not `>= limit`, which NaN fails.
  for (let i = 0; i < data.length; i++) if (!(Math.abs(data[i]) < limit)) return i
  return -1
}

/** Little-endian bytes of F32, F16 or BF16 as f32, without a copy where none is needed. Throws on any other dtype. */
export function toFloats(bytes: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> {
  const width = BYTES[dtype]
  // Typed arrays want aligned memory; bytes cut out of a larger buffer may not be.
  const { buffer, byteOffset } = bytes.byteOffset % width === 0 ? bytes : bytes.slice()
  const count = bytes.length / width
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, count)
  const halves = new Uint16Array(buffer, byteOffset, count)
  if (dtype === 'F16') return toFloat32(halves)
  if (dtype !== 'BF16') throw new Error(`no conversion from ${dtype} to floats`)
  // bf16 is the upper half of an f32.
  const words = new Uint32Array(count)
  for (let i = 0; i < count; i++) words[i] = halves[i] << 16
  return new Float32Array(words.buffer)
}

/** Little-endian bytes of `data` as F32 (a view of it) or F16 (rounded to nearest, ties to even). */
export function toBytes(data: Float32Array, dtype: 'F32' | 'F16'): Uint8Array {
  const stored = dtype === 'F32' ? data : toFloat16(data)
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
}

/** Opens a source after checking its header. Throws a UserError naming `where` on any defect. */
export async function openTensors(source: ByteSource, where: string): Promise<TensorFile> {
  needFunction('openTensors', { 'source.read': source?.read })
  const first = source.size < LENGTH_BYTES ? new Uint8Array(0) : await source.read(0, LENGTH_BYTES)
  const length = headerLength(first, source.size, where)
  const { tensors, metadata } = parseHeader(first, await source.read(LENGTH_BYTES, length), source.size, where)

  const entry = (name: string): TensorEntry => {
    const found = tensors.get(name)
    if (!found) throw new UserError(`${where} has no tensor ${show(name)}`)
    return found
  }
  const floatEntry = (name: string): TensorEntry => {
    const found = entry(name)
    if (FLOATS.includes(found.dtype)) return found
    throw new UserError(
      `${where}: tensor ${show(name)} is ${found.dtype}; only ${FLOATS.join(', ')} can be read as numbers`,
    )
  }
  async function* bytes(name: string): AsyncGenerator<Uint8Array> {
    const { begin, end } = entry(name)
    for (let at = begin; at < end; at += CHUNK_BYTES) yield source.read(at, Math.min(CHUNK_BYTES, end - at))
  }
  async function* chunks(name: string, bytesPerChunk = CHUNK_BYTES): AsyncGenerator<TensorChunk> {
    const { dtype, begin, end } = floatEntry(name)
    const width = BYTES[dtype]
    const step = Math.max(width, bytesPerChunk - (bytesPerChunk % width))
    for (let at = begin; at < end; at += step) {
      const data = toFloats(await source.read(at, Math.min(step, end - at)), dtype)
      const elementOffset = (at - begin) / width
      const bad = firstBeyond(data, Infinity)
      if (bad >= 0)
        throw new UserError(`${where}: tensor ${show(name)} has ${data[bad]} as element ${elementOffset + bad}`)
      yield { elementOffset, data }
    }
  }
  return {
    where,
    metadata,
    names: () => [...tensors.keys()],
    has: name => tensors.has(name),
    info: name => {
      const { dtype, shape } = entry(name)
      return { dtype, shape }
    },
    async read(name) {
      const { dtype, begin, end } = floatEntry(name)
      const out = new Float32Array((end - begin) / BYTES[dtype])
      for await (const { elementOffset, data } of chunks(name)) out.set(data, elementOffset)
      return out
    },
    chunks,
    bytes,
    close: () => source.close(),
  }
}

/**
 * The same tensors with all numbers in memory; the file is closed. Tensors of other dtypes can't be read from it, and
 * one with NaN or infinities throws as it is read.
 */
export async function intoMemory(file: TensorFile): Promise<TensorFile> {
  const kept = new Map<string, Promise<Float32Array<ArrayBuffer>>>()
  const values = (name: string): Promise<Float32Array<ArrayBuffer>> => kept.get(name) ?? file.read(name)
  try {
    for (const name of file.names()) {
      if (!FLOATS.includes(file.info(name).dtype)) continue
      const reading = file.read(name)
      kept.set(name, reading)
      await reading.catch(() => undefined)
    }
  } finally {
    await file.close()
  }
  return {
    ...file,
    // A copy, which the caller may change.
    read: async name => (await values(name)).slice(),
    async *chunks(name) {
      yield { elementOffset: 0, data: await values(name) }
    },
    close: async () => {},
  }
}

/** A source over bytes in memory. */
export function bytesSource(bytes: Uint8Array<ArrayBuffer>): ByteSource {
  needAll('bytesSource', 'a Uint8Array', argument => argument instanceof Uint8Array, { bytes })
  return {
    size: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
    close: async () => {},
  }
}

/**
 * The file's header bytes, length included, and the tensors in the order of their data: wider dtypes first, then by
 * name, as the reference implementation lays them, so that equal tensors make equal files. Throws a UserError on a
 * name given twice or reserved.
 */
export function layOut<T extends Omit<TensorToWrite | IntegerTensor, 'data'>>(
  tensors: readonly T[],
  metadata?: Readonly<Record<string, string>>,
): { head: Uint8Array<ArrayBuffer>; ordered: T[]; size: number } {
  const ordered = [...tensors].sort((a, b) => BYTES[b.dtype] - BYTES[a.dtype] || compareNames(a.name, b.name))
  // Entries, not an object: a tensor called "1" would jump the queue in an object.
  const members: string[] = []
  if (metadata && Object.keys(metadata).length > 0) {
    const notes = Object.keys(metadata)
      .sort(compareNames)
      .map(key => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`)
    members.push(`"__metadata__":{${notes.join(',')}}`)
  }
  const seen = new Set<string>(['__metadata__'])
  let at = 0
  for (const { name, dtype, shape } of ordered) {
    if (seen.has(name)) throw new UserError(`safetensors: the name ${show(name)} is taken`)
    seen.add(name)
    const end = shape.reduce((size, length) => size * length, BYTES[dtype]) + at
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [at, end] })}`)
    at = end
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`)
  const padded = Math.ceil(json.length / 8) * 8
  const head = new Uint8Array(LENGTH_BYTES + padded).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true)
  head.set(json, LENGTH_BYTES)
  return { head, ordered, size: head.length + at }
}

/**
 * The bytes of a whole file. Same tensors and metadata, same bytes, whatever their order. Throws NonFinite on values
 * that are not finite, or not in the dtype that they are stored in.
 */
export function serialize(
  tensors: readonly (TensorToWrite | IntegerTensor)[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  needEach('serialize', 'tensors', 'an object', isObject, tensors)
  const { head, ordered, size } = layOut(tensors, metadata)
  const out = new Uint8Array(size)
  out.set(head)
  let at = head.length
  for (const tensor of ordered) {
    const bytes = isInteger(tensor) ? integerBytes(tensor) : checkedBytes(tensor, tensor.data)
    out.set(bytes, at)
    at += bytes.length
  }
  return out
}

/**
 * The same bytes piece by piece, one tensor in memory at a time; throws as `serialize` does, when a tensor's turn
 * comes.
 */
export async function* serializeInPieces(
  tensors: readonly LazyTensor[],
  metadata?: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  needEach('serializeInPieces', 'tensors', 'an object', isObject, tensors)
  const { head, ordered } = layOut(tensors, metadata)
  yield head
  for (const tensor of ordered) yield checkedBytes(tensor, await tensor.read())
}

const isInteger = (tensor: TensorToWrite | IntegerTensor): tensor is IntegerTensor =>
  tensor.dtype === 'U32' || tensor.dtype === 'U8'

function integerBytes({ data, ...tensor }: IntegerTensor): Uint8Array {
  checkSize(tensor, data)
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function checkedBytes(tensor: Omit<TensorToWrite, 'data'>, data: Float32Array): Uint8Array {
  checkSize(tensor, data)
  const bad = firstBeyond(data, tensor.dtype === 'F16' ? LEAST_BEYOND_F16 : Infinity)
  if (bad >= 0) {
    throw new NonFinite(
      `tensor ${show(tensor.name)} is not saved: its element ${bad} is ${data[bad]}, which ${tensor.dtype} ` +
        `has no finite number for`,
    )
  }
  return toBytes(data, tensor.dtype)
}

function checkSize(
  tensor: { readonly name: string; readonly shape: readonly number[] },
  data: ArrayLike<number>,
): void {
  const size = tensor.shape.reduce((product, length) => product * length, 1)
  if (data.length !== size) {
    const shape = `[${tensor.shape.join(', ')}]`
    throw new UserError(
      `safetensors: tensor ${show(tensor.name)} is ${shape}, ${size} values, but ${data.length} were given`,
    )
  }
}

/** By code points, which is the order of UTF-8 bytes (JavaScript's own order is by UTF-16 units). */
function compareNames(a: string, b: string): number {
  const left = [...a]
  const right = [...b]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i].codePointAt(0) ?? 0) - (right[i].codePointAt(0) ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Lengths or positions: integers ≥ 0, each and all together small enough to be exact. */
function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(n => Number.isSafeInteger(n) && n >= 0)
}

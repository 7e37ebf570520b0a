// Kernels of subgroup matrices where no adapter has them: Dawn's backend that executes nothing compiles their text as
// it is, and with the matrix operations written out in plain WGSL any adapter runs it.
import { create, globals } from 'webgpu'
import { expect } from 'vitest'
import type { Lowering, SubgroupMatrix } from '../../shaders/kernel.ts'

Object.assign(globalThis, globals)
// Kept for ever: Dawn does not survive its instance's collection.
const nothing = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis'])

/** Lanes of a subgroup that the null backend may have: a workgroup must hold whole ones. */
export const NULL_LANES = 128

/**
 * Expects that Dawn takes every one of the shaders, and makes pipelines of them: the null backend has 16 KiB of
 * workgroup memory for those.
 */
export async function expectCompiled(shaders: Iterable<string>, pipelines = true): Promise<void> {
  const adapter = await nothing.requestAdapter()
  if (!adapter) throw new Error('Dawn has no null backend')
  const requiredFeatures = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[]
  const device = await adapter.requestDevice({ requiredFeatures })
  for (const code of shaders) {
    device.pushErrorScope('validation')
    const module = device.createShaderModule({ code })
    const { messages } = await module.getCompilationInfo()
    expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)).toEqual([])
    if (pipelines) await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } })
    expect(await device.popErrorScope()).toBeNull()
  }
  device.destroy()
}

/**
 * The launches with their matrix operations written out: a matrix is the number of a place where its subgroup's first
 * lane has it whole. Kernels name their lane in the subgroup `lane`. Element type f32 takes the place of f16
 * everywhere.
 */
export function writtenOut(lowering: Lowering, fragment: SubgroupMatrix, element: 'f16' | 'f32'): Lowering {
  return {
    ...lowering,
    launches: lowering.launches.map(launch =>
      launch.wgsl.includes('subgroup_matrix') ? { ...launch, wgsl: rewritten(launch.wgsl, fragment, element) } : launch,
    ),
  }
}

function rewritten(text: string, { m, n, k }: SubgroupMatrix, element: 'f16' | 'f32'): string {
  // An element of a tile that is declared in vec4s: addresses of matrices count these.
  const inVec4s = new Set(Array.from(text.matchAll(/(\w+): array<vec4<f16>/g), ([, name]) => name))
  const elementOf = (tile: string, start: string, at: string): string =>
    inVec4s.has(tile) ? `${tile}[${start} + (${at}) / 4u][(${at}) % 4u]` : `${tile}[${start} + ${at}]`
  const pitchOf = (tile: string, pitch: string): string => (inVec4s.has(tile) ? `(4u * ${pitch})` : pitch)
  // No turn for other lanes; and unrolled, as loops are whose end the compiler knows, these take it minutes.
  const loop = (name: string, count: number, body: string): string =>
    `for (var ${name} = 0u; ${name} < ${count}u * first; ${name}++) { ${body} }`
  const at = (width: number, pitch: string): string => `i / ${width}u * ${pitch} + i % ${width}u`
  const functions = new Map<string, string>()
  const size = Math.max(m * n, m * k)
  let count = 0
  const newPlace = (): string => `${count++ * size}u`
  const zero = (): string => {
    functions.set(
      'zero',
      `fn zero(place: u32) -> u32 {
  ${loop('i', m * n, 'matrices[place + i] = 0.0;')}
  return place;
}`,
    )
    return `zero(${newPlace()})`
  }
  const left = (tile: string, start: string, pitch: string, order: string): string => {
    const name = `load_${order}s_of_${tile}`
    const run = pitchOf(tile, 'pitch')
    const element = order === 'row' ? at(k, run) : `i % ${k}u * ${run} + i / ${k}u`
    functions.set(
      name,
      `fn ${name}(place: u32, start: u32, pitch: u32) -> u32 {
  ${loop('i', m * k, `matrices[place + i] = f32(${elementOf(tile, 'start', element)});`)}
  return place;
}`,
    )
    return `${name}(${newPlace()}, ${start}, ${pitch})`
  }
  const store = (tile: string, start: string, sum: string, pitch: string): string => {
    functions.set(
      `store ${tile}`,
      `fn store_to_${tile}(start: u32, place: u32) {
  ${loop('i', m * n, `${tile}[start + ${at(n, pitch)}] = matrices[place + i];`)}
}`,
    )
    return `store_to_${tile}(${start}, ${sum});`
  }
  const reload = (name: string, tile: string, start: string, pitch: string): string => {
    functions.set(
      `reload ${tile} ${pitch}`,
      `fn reload_of_${tile}_by_${pitch}(place: u32, start: u32) {
  ${loop('i', m * n, `matrices[place + i] = ${tile}[start + ${at(n, pitch)}];`)}
}`,
    )
    return `reload_of_${tile}_by_${pitch}(${name}, ${start})`
  }
  // Right operands are multiplied soon, and are read where they stand.
  const multiplyBy = new Map<string, string>()
  const right = (name: string, tile: string, start: string, pitch: string, order: string): string => {
    const multiply = `multiply_by_${order}s_of_${tile}_by_${pitch}`
    multiplyBy.set(name, multiply)
    const column = `i % ${n}u`
    const run = pitchOf(tile, pitch)
    const element = order === 'row' ? `x * ${run} + ${column}` : `${column} * ${run} + x`
    functions.set(
      multiply,
      `fn ${multiply}(count: u32) {
  for (var p = 0u; p < count * first; p++) {
    let left = products[p].x; let start = products[p].y; let sum = products[p].z;
    ${loop(
      'i',
      m * n,
      `var all = matrices[sum + i];
      ${loop('x', k, `all += matrices[left + i / ${n}u * ${k}u + x] * f32(${elementOf(tile, 'start', element)});`)}
      matrices[sum + i] = all;`,
    )}
  }
}`,
    )
    return start
  }
  // Products in a row are listed and made in one loop: a compiler has the less to do.
  let listed: { by: string; count: number } | undefined
  let longest = 0
  const made = (): string => {
    const text = listed ? `${listed.by}(${listed.count}u);\n` : ''
    listed = undefined
    return text
  }
  const product = (by: string | undefined, a: string, b: string, sum: string): string => {
    if (by === undefined) throw new Error(`nobody loads ${b}`)
    const before = listed && listed.by !== by ? made() : ''
    listed = { by, count: (listed?.count ?? 0) + 1 }
    longest = Math.max(longest, listed.count)
    return `${before}products[${listed.count - 1}] = vec3<u32>(${a}, ${b}, ${sum});`
  }
  const expectSize = (actual: readonly string[], wanted: readonly number[]): void =>
    expect(actual.map(Number)).toEqual(wanted)
  // Not every kernel loads sums.
  const sumLoad =
    /(\w+) = subgroupMatrixLoad<subgroup_matrix_result<f32, (\d+), (\d+)>, row_major>\(&(\w+), (.*), (\w+)\)/
  const rules: [RegExp, (parts: string[]) => string][] = [
    [
      /(?:let|var) (\w+) = subgroup_matrix_result<f32, (\d+), (\d+)>\(\)/,
      ([, name, ...sizes]) => {
        expectSize(sizes, [n, m])
        return `var ${name} = ${zero()}`
      },
    ],
    [
      /let (\w+) = subgroupMatrixLoad<subgroup_matrix_left<f16, (\d+), (\d+)>, (row|col)_major>\(&(\w+), (.*), (\w+)\)/,
      parts => {
        const [, name, columns, rows, order, tile, start, pitch] = parts
        expectSize([columns, rows], [k, m])
        return `let ${name} = ${left(tile, start, pitch, order)}`
      },
    ],
    [
      /let (\w+) = subgroupMatrixLoad<subgroup_matrix_right<f16, (\d+), (\d+)>, (row|col)_major>\(&(\w+), (.*), (\w+)\)/,
      parts => {
        const [, name, columns, rows, order, tile, start, pitch] = parts
        expectSize([columns, rows], [n, k])
        return `let ${name} = ${right(name, tile, start, pitch, order)}`
      },
    ],
    [
      sumLoad,
      ([, name, columns, rows, tile, start, pitch]) => {
        expectSize([columns, rows], [n, m])
        return reload(name, tile, start, pitch)
      },
    ],
    [
      /(\w+) = subgroupMatrixMultiplyAccumulate\((\w+), (\w+), (\w+)\);/,
      ([, result, a, b, sum]) => {
        expect(result).toBe(sum)
        return product(multiplyBy.get(b), a, b, sum)
      },
    ],
    [
      /subgroupMatrixStore<row_major>\(&(\w+), (.*), (\w+), (\w+)\);/,
      ([, tile, start, sum, pitch]) => store(tile, start, sum, pitch),
    ],
    [/let lane = .*/, ([line]) => `${line}\nfirst = select(0u, 1u, lane == 0u);`],
    [/(?:enable (?:subgroups|chromium_experimental_subgroup_matrix);|diagnostic\(off, chromium.*;)/, () => ''],
  ]
  const used = new Set<RegExp>()
  const lines = text.split('\n')
  const plain = lines
    .map((line, l) => {
      const written = rules.reduce((written, [from, to]) => {
        const parts = from.exec(written)
        if (!parts) return written
        used.add(from)
        return written.replace(parts[0], to(parts))
      }, line)
      // Fragments come in blocks; after the last of these the products are made.
      return line.trim() === '}' && lines[l + 1]?.trim() !== '{' ? `${written}\n${made()}` : written
    })
    .join('\n')
  if (listed) throw new Error('the kernel ends in products')
  for (const [from] of rules)
    if (from !== sumLoad && !used.has(from)) throw new Error(`the kernel holds no ${from.source}`)
  const inF32 = (text: string): string =>
    text
      .replace('enable f16;\n', '')
      .replace(/(array<|vec4<|= )f16\b/g, '$1f32')
      .replaceAll('f16(', 'f32(')
  const typed = element === 'f16' ? plain : inF32(plain)
  return typed.replace(
    '@compute',
    `var<private> first: u32; // 1 in the lane that has the matrices, else 0
var<private> matrices: array<f32, ${size * count}>;
var<private> products: array<vec3<u32>, ${longest}>;
${[...functions.values()].join('\n')}
@compute`,
  )
}

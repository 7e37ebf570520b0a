// Kernels of subgroup matrices where no adapter has them: Dawn's backend that executes nothing compiles their text as it
// is, and with the matrix operations written out in plain WGSL any adapter runs it.
import { create, globals } from 'webgpu'
import { expect } from 'vitest'
import type { Lowering, SubgroupMatrix } from '../../shaders/kernel.ts'

Object.assign(globalThis, globals)
// Kept for ever: Dawn does not survive its instance's collection.
const nothing = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis'])

/** Lanes of a subgroup that the null backend may have: a workgroup must hold whole ones. */
export const NULL_LANES = 128

/** Expects that Dawn takes every one of the shaders. */
export async function expectCompiled(shaders: Iterable<string>): Promise<void> {
  const adapter = await nothing.requestAdapter()
  if (!adapter) throw new Error('Dawn has no null backend')
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = adapter.limits
  const device = await adapter.requestDevice({
    requiredFeatures: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[],
    requiredLimits: { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX },
  })
  for (const code of shaders) {
    device.pushErrorScope('validation')
    const module = device.createShaderModule({ code })
    const { messages } = await module.getCompilationInfo()
    expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)).toEqual([])
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } })
    expect(await device.popErrorScope()).toBeNull()
  }
  device.destroy()
}

/**
 * The launches with their matrix operations written out: a matrix is the number of a place where its subgroup's first lane has
 * it whole, one place for each name. Kernels name their lane in the subgroup `lane`. Element type f32 takes the place of f16
 * everywhere.
 */
export function writtenOut(lowering: Lowering, fragment: SubgroupMatrix, element: 'f16' | 'f32'): Lowering {
  return {
    ...lowering,
    launches: lowering.launches.map(launch =>
      (launch.wgsl.includes('subgroup_matrix') ? { ...launch, wgsl: rewritten(launch.wgsl, fragment, element) } : launch)),
  }
}

function rewritten(text: string, { m, n, k }: SubgroupMatrix, element: 'f16' | 'f32'): string {
  // No turn for other lanes; and unrolled, as loops are whose end the compiler knows, these take it minutes.
  const loop = (name: string, count: number, body: string): string => `for (var ${name} = 0u; ${name} < ${count}u * first; ${name}++) { ${body} }`
  const functions = new Map<string, string>()
  const load = (side: string, order: string, tile: string, pitch: string): string => {
    const name = `load_${side}_${order}_of_${tile}`
    const [outer, inner] = side === 'left' ? [m, k] : [k, n]
    functions.set(name, `fn ${name}(place: u32, start: u32) -> u32 {
  ${loop('i', outer, loop('j', inner, `matrices[place + i * ${inner}u + j] = f32(${tile}[start + ${order === 'row' ? `i * ${pitch} + j` : `j * ${pitch} + i`}]);`))}
  return place;
}`)
    return name
  }
  const store = (tile: string, pitch: string): string => {
    const name = `keep_in_${tile}`
    functions.set(name, `fn ${name}(start: u32, place: u32) {
  ${loop('i', m, loop('j', n, `${tile}[start + i * ${pitch} + j] = matrices[place + i * ${n}u + j];`))}
}`)
    return name
  }
  const places = new Map<string, number>()
  const size = Math.max(m * n, m * k, k * n)
  const placeOf = (name: string): string => {
    const place = places.get(name) ?? places.size
    places.set(name, place)
    return `${place * size}u`
  }
  const arithmetic = `fn multiply(left: u32, right: u32, sum: u32) -> u32 {
  ${loop('i', m, loop('j', n, `var all = matrices[sum + i * ${n}u + j];
    ${loop('x', k, `all += matrices[left + i * ${k}u + x] * matrices[right + x * ${n}u + j];`)}
    matrices[sum + i * ${n}u + j] = all;`))}
  return sum;
}
fn zero(place: u32) -> u32 {
  ${loop('i', m * n, 'matrices[place + i] = 0.0;')}
  return place;
}`
  const rules: [RegExp, (...parts: string[]) => string][] = [
    [/enable (?:subgroups|chromium_experimental_subgroup_matrix);\n|diagnostic\(off, .*\n/g, () => ''],
    [/(\w+) = subgroup_matrix_result<f32, (\d+), (\d+)>\(\)/g, (_, name, columns, rows) => {
      expect([Number(columns), Number(rows)]).toEqual([n, m])
      return `${name} = zero(${placeOf(name)})`
    }],
    [/(\w+) = subgroupMatrixLoad<subgroup_matrix_(left|right)<f16, (\d+), (\d+)>, (row|col)_major>\(&(\w+), (.*), (\w+)\)/g,
      (_, name, side, columns, rows, order, tile, at, pitch) => {
        expect([Number(columns), Number(rows)]).toEqual(side === 'left' ? [k, m] : [n, k])
        return `${name} = ${load(side, order, tile, pitch)}(${placeOf(name)}, ${at})`
      }],
    [/subgroupMatrixMultiplyAccumulate/g, () => 'multiply'],
    [/subgroupMatrixStore<row_major>\(&(\w+), (.*), (\w+), (\w+)\);/g, (_, tile, at, sum, pitch) => `${store(tile, pitch)}(${at}, ${sum});`],
    [/let lane = .*/g, line => `${line}\nfirst = select(0u, 1u, lane == 0u);`],
  ]
  const plain = rules.reduce((wgsl, [from, to]) => {
    if (wgsl.search(from) < 0) throw new Error(`the kernel holds no ${from.source}`)
    return wgsl.replace(from, to)
  }, text)
  const typed = element === 'f16' ? plain : plain.replace('enable f16;\n', '').replaceAll('array<f16,', 'array<f32,').replaceAll('f16(', 'f32(')
  return typed.replace('@compute', `var<private> first: u32; // 1 in the lane that has the matrices, else 0
var<private> matrices: array<f32, ${size * places.size}>;
${[...functions.values(), arithmetic].join('\n')}
@compute`)
}

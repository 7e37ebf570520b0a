// What a shader's text says of its workgroup memory.

/** Bytes of each workgroup array, in the order of their declarations. Throws where one is of a type it doesn't know. */
export function workgroupArrays(wgsl: string): number[] {
  return [...wgsl.matchAll(/var<workgroup> \w+: (.*?);/g)].map(([, type]) => bytesOfType(type))
}

function bytesOfType(type: string): number {
  const array = /^array<(.*), (\d+)>$/.exec(type)
  if (array) return bytesOfType(array[1]) * Number(array[2])
  const inner = /^(?:vec(\d)|atomic)<(.*)>$/.exec(type)
  if (inner) return bytesOfType(inner[2]) * Number(inner[1] ?? 1)
  const scalar = /^[fu](\d+)$/.exec(type)
  if (!scalar) throw new Error(`the size of ${type} is not known`)
  return Number(scalar[1]) / 8
}

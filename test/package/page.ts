// What a page does with the package: test/package.test.ts bundles it as for a browser, with only the parts that it uses,
// and runs it where `navigator.gpu` is all that there is.
import { attention, currentDevice, grad, tensor } from 'tilegrad'
import { Linear, initialise } from 'tilegrad/nn'

const linear = new Linear(2, 3)
await initialise(linear.parameters(), 1)
const x = tensor([[[[1, 2]], [[3, 4]]]])
const y = attention(x, x, x)
const [dx] = grad(y.sum(), [x])
const chosen = tensor([[5], [6], [7]]).gather(tensor(new Int32Array([2, 0])))
const outputs = linear.forward(tensor([[0, 0]]))
const numbers = async (...tensors: readonly { data(): Promise<ArrayLike<number>> }[]): Promise<number[][]> =>
  Promise.all(tensors.map(async t => Array.from(await t.data(), n => Math.round(1000 * n) / 1000)))
console.log(JSON.stringify(await numbers(y, dx, chosen, outputs.sub(outputs))))
;(await currentDevice()).close()

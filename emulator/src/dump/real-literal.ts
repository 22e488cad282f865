/**
 * A finite REAL as the sqlite3 program of Debian 12 (3.40) writes it in a dump: a whole number that fits 64 bits as
 * `4.0`, any other by SQLite's own `%!.20g`. That one computes in the 80-bit numbers of x86, whose last digits are not
 * those of the exact value; so does this.
 */
export function realLiteral(value: number): string {
  if (value === 0) return "0.0";
  if (Math.abs(value) <= 2 ** 63 && Number.isInteger(value) && value !== 2 ** 63) return `${BigInt(value)}.0`;
  return (value < 0 ? "-" : "") + generic(extended(Math.abs(value)));
}

/** Digits behind the first one. */
const PRECISION = 19;
/** SQLite's `arRound[9] * 1.0e-10`, in 64-bit arithmetic as there. */
const ROUNDER = 5.0e-10 * 1.0e-10;
/** SQLite writes so many significant digits with `!`. */
const SIGNIFICANT = 26;

function generic(magnitude: Extended): string {
  const { mantissa, exponent } = normalized(magnitude);
  const digit = digitsOf(mantissa);
  let text = "";
  if (exponent < -4 || exponent > PRECISION) {
    text = `${digit()}.`;
    for (let i = 0; i < PRECISION; i++) text += digit();
    const sign = exponent < 0 ? "-" : "+";
    return `${trimmed(text)}e${sign}${`${Math.abs(exponent)}`.padStart(2, "0")}`;
  }
  let after = PRECISION - exponent;
  if (exponent < 0) text = "0";
  for (let i = 0; i <= exponent; i++) text += digit();
  text += ".";
  for (let i = exponent + 1; i < 0; i++, after--) text += "0";
  for (; after > 0; after--) text += digit();
  return trimmed(text);
}

function trimmed(text: string): string {
  const short = text.replace(/0+$/, "");
  return short.endsWith(".") ? `${short}0` : short;
}

/** Between 1 and 10, and the power of ten that was taken out, rounded for the last digit that is written. */
function normalized(magnitude: Extended): { mantissa: Extended; exponent: number } {
  let exponent = 0;
  let scale = extended(1);
  for (const [step, power] of [
    [extended(1e100), 100],
    [extended(1e10), 10],
    [extended(10), 1],
  ] as const) {
    while (!isLess(magnitude, times(step, scale))) {
      scale = times(scale, step);
      exponent += power;
    }
  }
  let mantissa = over(magnitude, scale);
  for (; isLess(mantissa, extended(1e-8)); exponent -= 8) mantissa = times(mantissa, extended(1e8));
  for (; isLess(mantissa, extended(1)); exponent--) mantissa = times(mantissa, extended(10));
  mantissa = plus(mantissa, extended(ROUNDER));
  if (isLess(mantissa, extended(10))) return { mantissa, exponent };
  return { mantissa: times(mantissa, extended(0.1)), exponent: exponent + 1 };
}

function digitsOf(mantissa: Extended): () => string {
  let rest = mantissa;
  let left = SIGNIFICANT;
  return () => {
    if (left-- <= 0) return "0";
    const digit =
      rest.exponent >= 0 ? rest.bits << BigInt(rest.exponent) : rest.bits >> BigInt(-rest.exponent);
    rest = times(rounded(rest.bits - (digit << BigInt(-rest.exponent)), rest.exponent), extended(10));
    return `${digit}`;
  };
}

/** A number of x86's extended precision: 64 significant bits, times two to the power of the exponent. */
interface Extended {
  readonly bits: bigint;
  readonly exponent: number;
}

const WIDTH = 64;

/** A double, which an extended number holds exactly. */
function extended(value: number): Extended {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const raw = view.getBigUint64(0);
  const biased = Number((raw >> 52n) & 0x7ffn);
  const fraction = raw & 0xf_ffff_ffff_ffffn;
  return biased === 0 ? rounded(fraction, -1074) : rounded(fraction | (1n << 52n), biased - 1075);
}

/** To the nearest, ties to even. */
function rounded(bits: bigint, exponent: number): Extended {
  if (bits === 0n) return { bits, exponent: 0 };
  const surplus = lengthOf(bits) - WIDTH;
  if (surplus <= 0) return { bits: bits << BigInt(-surplus), exponent: exponent + surplus };
  const cut = BigInt(surplus);
  const kept = bits >> cut;
  const rest = bits - (kept << cut);
  const half = 1n << (cut - 1n);
  const up = rest > half || (rest === half && (kept & 1n) === 1n) ? 1n : 0n;
  return (kept + up) >> BigInt(WIDTH) === 0n
    ? { bits: kept + up, exponent: exponent + surplus }
    : { bits: (kept + up) >> 1n, exponent: exponent + surplus + 1 };
}

/** How many bits it takes. */
function lengthOf(bits: bigint): number {
  const digits = bits.toString(16);
  return digits.length * 4 - (Math.clz32(Number.parseInt(digits.slice(0, 1), 16)) - 28);
}

function times(a: Extended, b: Extended): Extended {
  return rounded(a.bits * b.bits, a.exponent + b.exponent);
}

function over(a: Extended, b: Extended): Extended {
  // Enough bits for the quotient, and one that stands for all that is left of it.
  const wide = a.bits << 130n;
  const sticky = wide % b.bits === 0n ? 0n : 1n;
  return rounded(((wide / b.bits) << 1n) | sticky, a.exponent - b.exponent - 131);
}

function plus(a: Extended, b: Extended): Extended {
  const exponent = Math.min(a.exponent, b.exponent);
  const aligned = ({ bits, exponent: own }: Extended): bigint => bits << BigInt(own - exponent);
  return rounded(aligned(a) + aligned(b), exponent);
}

function isLess(a: Extended, b: Extended): boolean {
  const exponent = Math.min(a.exponent, b.exponent);
  return a.bits << BigInt(a.exponent - exponent) < b.bits << BigInt(b.exponent - exponent);
}

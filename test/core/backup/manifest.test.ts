import { describe, expect, it } from "vitest";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { checksumsText } from "../../../src/core/backup/checksums.ts";
import { checksumHolds, manifestText, readManifest } from "../../../src/core/backup/manifest.ts";
import { HASH, manifest, unsealed, volume } from "../kit/sample-manifest.ts";

describe("a manifest is read", () => {
  it("whole", () => {
    expect(readManifest(JSON.stringify(manifest))).toEqual({ kind: "manifest", manifest });
  });

  it("without minding fields that a later release of the same format adds", () => {
    const later = { ...manifest, mood: "good", volumes: [{ ...volume, colour: "blue" }] };
    expect(readManifest(JSON.stringify(later))).toEqual({ kind: "manifest", manifest });
  });

  it("not at all when its format is newer", () => {
    expect(readManifest(JSON.stringify({ ...manifest, formatVersion: 2 }))).toEqual({
      kind: "newer",
      formatVersion: 2,
    });
  });

  it.each<[string, string, string]>([
    ["no JSON", "{", "it is not JSON"],
    ["nothing", "", "it is not JSON"],
    ["no volumes", JSON.stringify({ ...manifest, volumes: [] }), "volumes"],
    [
      "a hash that is none",
      JSON.stringify({ ...manifest, volumes: [{ ...volume, sha256: "x" }] }),
      "volumes.0.sha256",
    ],
  ])("not with %s", (_, text, problem) => {
    expect(readManifest(text)).toMatchObject({ kind: "invalid", problem: expect.stringContaining(problem) });
  });
});

it("SHA256SUMS has the form that sha256sum -c reads", () => {
  expect(checksumsText([volume])).toBe(`${HASH}  shop.0001.sql.gz\n`);
});

it("a manifest's own checksum tells every altered character of it", () => {
  const text = manifestText({ ...unsealed, files: [] }, codecs());
  const altered = text.replace('"bytes": 31', '"bytes": 32');
  const holds = (stored: string): boolean => {
    const reading = readManifest(stored);
    return reading.kind === "manifest" && checksumHolds(stored, reading.manifest, codecs());
  };
  expect([text, altered, ` ${text}`, `${text}\n`].map(holds)).toEqual([true, false, false, false]);
});

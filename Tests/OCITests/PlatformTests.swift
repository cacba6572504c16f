@testable import OCI
import Testing

struct PlatformTests {
    @Test(arguments: [
        ("linux/amd64", "linux/amd64"), ("amd64", "linux/amd64"), ("x86_64", "linux/amd64"), ("linux/aarch64", "linux/arm64"), ("linux/arm/v7", "linux/arm/v7"), ("windows/amd64", "windows/amd64"),
    ])
    func platformsAreRead(_ text: String, _ full: String) { #expect(Platform(text)?.description == full) }

    @Test(arguments: ["", "/", "linux/", "/amd64", "a/b/c/d", "linux//v7"])
    func whatIsNoPlatformIsRefused(_ text: String) { #expect(Platform(text) == nil) }

    @Test(arguments: [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8", "linux/arm64"], 1), ("linux/arm/v7", ["linux/arm/v6", "linux/arm"], 1), ("linux/arm/v7", ["linux/arm", "linux/arm/v7"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1), ("linux/arm64/v8", ["linux/amd64", "linux/arm64"], 1), ("linux/arm64", ["windows/arm64", "linux/arm64/v8"], 1),
        ("linux/amd64", ["linux/arm64", "windows/amd64"], nil), ("linux/arm/v6", ["linux/arm/v7"], nil), ("linux/arm/v7", ["linux/arm/v-7", "linux/arm/vv"], nil),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0), ("linux/arm/v9223372036854775807", ["linux/arm/v9223372036854775806"], 0), ("linux/arm/v-1", ["linux/arm/v-2"], nil),
    ] as [(String, [String], Int?)])
    func theBestOfAnIndexIsChosen(_ wanted: String, _ offered: [String], _ expected: Int?) throws {
        let index = ImageIndex(manifests: offered.enumerated().map { number, text in
            Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [UInt8(number)]), size: 1, platform: Platform(text))
        })
        let chosen = index.manifest(for: try #require(Platform(wanted)))
        #expect(chosen == expected.map { index.manifests[$0] })
    }

    @Test func attestationsAndArtifactsAreNeverChosen() throws {
        let platform = try #require(Platform("linux/amd64"))
        let attestation = Descriptor(
            mediaType: MediaType.manifest, digest: Digest(of: [1]), size: 1, annotations: ["vnd.docker.reference.type": "attestation-manifest"], platform: platform)
        let artifact = Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [2]), size: 1, platform: platform, artifactType: "application/x")
        let other = Descriptor(mediaType: "application/json", digest: Digest(of: [3]), size: 1, platform: platform)
        #expect(ImageIndex(manifests: [attestation, artifact, other]).manifest(for: platform) == nil)
        let image = Descriptor(mediaType: MediaType.dockerManifest, digest: Digest(of: [4]), size: 1)
        #expect(ImageIndex(manifests: [attestation, image, artifact]).manifest(for: platform) == image, "a sole image fits without saying its platform")
        #expect(ImageIndex(manifests: [image, image]).manifest(for: platform) == nil, "of several, none is taken blindly")
    }
}

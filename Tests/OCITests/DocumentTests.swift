import FoundationEssentials
@testable import OCI
import Testing

private let digest = "sha256:" + String(repeating: "a", count: 64)
private let blob = #"{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"\#(digest)","size":7}"#

struct DocumentTests {
    private func document(_ text: String, mediaType: String? = nil) throws(ManifestError) -> ManifestDocument {
        try ManifestDocument(decoding: Array(text.utf8), mediaType: mediaType)
    }

    private func failure(_ text: String, mediaType: String? = nil) -> ManifestError? {
        do throws(ManifestError) {
            _ = try document(text, mediaType: mediaType)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        (#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":B,"layers":[B,B]}"#, nil), (#"{"schemaVersion":2,"config":B,"layers":[B,B]}"#, nil),
        (#"{"schemaVersion":2,"config":B,"layers":[B,B]}"#, "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"), (#"{"schemaVersion":2,"config":B,"layers":[B,B],"unknown":{"x":[1]}}"#, "text/plain"),
    ] as [(String, String?)])
    func manifestsAreRead(_ text: String, _ mediaType: String?) throws {
        guard case .manifest(let manifest) = try document(text.replacing("B", with: blob), mediaType: mediaType) else { throw Unexpected() }
        #expect(manifest.layers.count == 2 && manifest.config.size == 7 && manifest.config.digest.description == digest)
    }

    @Test func indexesAreRead() throws {
        for text in [#"{"schemaVersion":2,"manifests":[\#(blob)]}"#, #"{"schemaVersion":2,"mediaType":"\#(MediaType.dockerIndex)","manifests":[\#(blob)]}"#] {
            guard case .index(let index) = try document(text) else { throw Unexpected() }
            #expect(index.manifests.count == 1)
        }
    }

    /// CVE-2021-41190.
    @Test(arguments: [nil, MediaType.manifest, MediaType.index, MediaType.dockerManifest, MediaType.dockerIndex, "application/json"])
    func aDocumentThatIsBothIsRefused(_ type: String?) {
        let inner = type.map { #""mediaType":"\#($0)","# } ?? ""
        for lists in [#""manifests":[],"layers":[]"#, #""manifests":[\#(blob)],"layers":[\#(blob)]"#] {
            let text = #"{"schemaVersion":2,\#(inner)"config":\#(blob),\#(lists)}"#
            #expect(failure(text) == .ambiguous, "\(text)")
            #expect(failure(text, mediaType: MediaType.index) == .ambiguous)
            #expect(failure(text, mediaType: MediaType.manifest) == .ambiguous)
        }
    }

    @Test(arguments: [
        "", " ", "{", "[]", "7", "null", "\"\"", "{}", #"{"schemaVersion":1}"#, #"{"schemaVersion":2}"#, #"{"schemaVersion":2,"layers":[]}"#, #"{"schemaVersion":"2","manifests":[]}"#,
        #"{"schemaVersion":2,"config":{},"layers":[]}"#, #"{"schemaVersion":2,"manifests":{}}"#, #"{"schemaVersion":2,"mediaType":"application/x","config":{}}"#, "\u{feff}{}", "{\"a\":\"\u{1}\"}",
    ])
    func whatIsNoDocumentIsRefused(_ text: String) { #expect(failure(text) != nil) }

    @Test(arguments: ["-1", "1e30", "18446744073709551616", "1.5", "\"7\"", "null", "1e-1", "9e999", "-0.1", String(repeating: "9", count: 5000), "1e" + String(repeating: "9", count: 5000)])
    func sizesThatAreNoSizesAreRefused(_ size: String) {
        #expect(failure(#"{"schemaVersion":2,"config":\#(blob.replacing(":7", with: ":" + size)),"layers":[]}"#) != nil)
    }

    @Test func theLargestSizeIsASize() throws {
        guard case .manifest(let manifest) = try document(#"{"schemaVersion":2,"config":\#(blob.replacing(":7", with: ":18446744073709551615")),"layers":[]}"#) else { throw Unexpected() }
        #expect(manifest.config.size == .max)
    }

    @Test func tooManyLayersAreRefused() {
        func manifest(_ count: Int) -> String { #"{"schemaVersion":2,"config":\#(blob),"layers":[\#(Array(repeating: blob, count: count).joined(separator: ","))]}"# }
        #expect(failure(manifest(ImageManifest.layerLimit)) == nil)
        #expect(failure(manifest(ImageManifest.layerLimit + 1)) != nil)
    }

    @Test func largeDocumentsAreNotEvenParsed() {
        #expect(throws: ManifestError.tooLarge(bytes: 50 << 20)) { try ManifestDocument(decoding: Array(repeating: UInt8(ascii: "["), count: 50 << 20), mediaType: nil) }
        #expect(throws: ManifestError.tooLarge(bytes: 50 << 20)) { try ImageConfig(decoding: Array(repeating: UInt8(ascii: "{"), count: 50 << 20)) }
    }

    /// On a small stack, as worker threads have: recursion without a bound would end the process.
    @Test(arguments: ["[", "{\"a\":", "{\"layers\":[", "{\"annotations\":{\"a\":", "{\"config\":{\"platform\":", "[{\"a\":[", "\"", "{\"rootfs\":{\"diff_ids\":["])
    func deepNestingIsRefused(_ piece: String) {
        for depth in [10, 511, 512, 513, 5000, ManifestDocument.sizeLimit / piece.utf8.count] {
            let bytes = Array(repeating: Array(piece.utf8), count: depth).flatMap { $0 }
            #expect(throws: ManifestError.self) { try ManifestDocument(decoding: bytes, mediaType: nil) }
            #expect(throws: ManifestError.self) { try ImageConfig(decoding: bytes) }
        }
    }

    @Test func aDeepValueThatNobodyReadsIsNoHarm() {
        for depth in [JSONText.depthLimit - 1, 100_000] {
            let deep = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let text = #"{"schemaVersion":2,"manifests":[],"extra":\#(deep)}"#
            // Refused or read, but the process lives.
            #expect(failure(text) == nil || depth > JSONText.depthLimit)
        }
    }

    @Test func errorsDoNotRepeatTheDocument() {
        let long = String(repeating: "x", count: 100_000)
        for text in [#"{"schemaVersion":2,"mediaType":"\#(long)"}"#, #"{"schemaVersion":2,"config":{"mediaType":"a","size":1,"digest":"\#(long)"},"layers":[]}"#, #"{"schemaVersion":2,"annotations":{"\#(long)":7},"manifests":[]}"#] {
            #expect(failure(text).map { $0.description.utf8.count < 1000 } == true)
        }
    }
}

struct ConfigTests {
    @Test func diffIDsAreRead() throws {
        let config = try ImageConfig(decoding: Array(#"{"os":"linux","architecture":"arm","variant":"v7","created":"now","rootfs":{"type":"layers","diff_ids":["\#(digest)"]},"config":{"Env":["A=b"]}}"#.utf8))
        #expect(config.diffIDs.map(\.description) == [digest] && config.variant == "v7")
        #expect(try ImageConfig(decoding: Array(#"{"rootfs":{}}"#.utf8)).diffIDs.isEmpty)
        for text in ["{}", #"{"rootfs":{"diff_ids":["sha256:x"]}}"#, #"{"rootfs":[]}"#] { #expect(throws: ManifestError.self) { try ImageConfig(decoding: Array(text.utf8)) } }
    }

    /// The expected values were computed with Python's hashlib.
    @Test func chainIDsAreKnown() throws {
        let layers = try ["a", "b", "c"].map { try #require(Optional(Digest(of: Array($0.utf8)))) }
        #expect(ChainID.chain(of: layers).map(\.hex) == [
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676",
            "2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106",
        ])
        #expect(ChainID.chain(of: []).isEmpty)
    }

    @Test func descriptorsSurviveARoundTrip() throws {
        let descriptor = Descriptor(
            mediaType: "a/b", digest: Digest(of: [1]), size: .max, annotations: ["k": "v\u{0}\"\\/\u{1f600}"], platform: Platform("linux/arm/v7"), artifactType: "x/y")
        #expect(try JSONDecoder().decode(Descriptor.self, from: JSONEncoder().encode(descriptor)) == descriptor)
    }
}

private struct Unexpected: Error {}

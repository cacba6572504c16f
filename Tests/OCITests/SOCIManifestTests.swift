@testable import OCI
import Testing

/// The documents that say which zTOC belongs to which layer.
@Suite struct SOCIManifestTests {
    private static let layer = "sha256:" + String(repeating: "a", count: 64)
    private static let other = "sha256:" + String(repeating: "b", count: 64)
    private static let ztoc = "sha256:" + String(repeating: "c", count: 64)
    private static let first = SOCIManifest.firstType

    private static func config(_ type: String) -> String { #"{"mediaType":"\#(type)","digest":"\#(Digest(of: SOCIManifest.config))","size":2}"# }

    private static func entry(_ layer: String?, ztoc: String = SOCIManifestTests.ztoc, size: String = "7") -> String {
        let annotations = layer.map { #","annotations":{"com.amazon.soci.image-layer-digest":"\#($0)"}"# } ?? ""
        return #"{"mediaType":"application/octet-stream","digest":"\#(ztoc)","size":\#(size)\#(annotations)}"#
    }

    private func decoded(_ fields: String...) throws(ManifestError) -> SOCIManifest {
        try SOCIManifest(decoding: Array(#"{"schemaVersion":2,\#(fields.joined(separator: ","))}"#.utf8))
    }

    // MARK: - What is read

    /// soci says what it is in the config's type, newer ones in `artifactType` as well.
    @Test(arguments: [SOCIManifest.firstType, SOCIManifest.secondType])
    func anIndexIsKnownByEitherOfItsTypes(type: String) throws {
        for fields in [
            [#""config":\#(Self.config(type))"#], [#""artifactType":"\#(type)","config":\#(Self.config("application/vnd.oci.empty.v1+json"))"#],
            [#""artifactType":"\#(type)","config":\#(Self.config(type))"#], [#""artifactType":"application/x-other","config":\#(Self.config(type))"#],
        ] {
            let manifest = try decoded(fields[0], #""layers":[\#(Self.entry(Self.layer))]"#)
            #expect(manifest.subject == nil)
            #expect(manifest.ztocs.map { "\($0)=\($1.digest) \($1.size)" } == ["\(Self.layer)=\(Self.ztoc) 7"])
        }
    }

    @Test func theSubjectIsTheImage() throws {
        let subject = #"{"mediaType":"\#(MediaType.manifest)","digest":"\#(Self.other)","size":9}"#
        let manifest = try decoded(#""config":\#(Self.config(Self.first)),"layers":[],"subject":\#(subject)"#)
        #expect(manifest.ztocs.isEmpty)
        #expect(manifest.subject == Descriptor(mediaType: MediaType.manifest, digest: try #require(Digest(Self.other)), size: 9))
    }

    @Test func aZTOCOfNoLayerIsLeftOut() throws {
        let strange = [nil, "", "sha256:", "sha256:" + String(repeating: "g", count: 64), String(repeating: "a", count: 64), Self.layer + "a", "md5:" + String(repeating: "a", count: 32)]
        let layers = (strange.map { Self.entry($0) } + [Self.entry(Self.other)]).joined(separator: ",")
        let manifest = try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(layers)]"#)
        #expect(manifest.ztocs.keys.map(\.description) == [Self.other])
    }

    @Test func ofTwoForOneLayerTheFirstCounts() throws {
        let layers = [Self.entry(Self.layer), Self.entry(Self.layer, ztoc: Self.other)].joined(separator: ",")
        let manifest = try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(layers)]"#)
        #expect(manifest.ztocs.map(\.value.digest.description) == [Self.ztoc])
    }

    @Test func theLargestSizeIsKept() throws {
        let manifest = try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(Self.entry(Self.layer, size: "18446744073709551615"))]"#)
        #expect(manifest.ztocs.map(\.value.size) == [.max])
    }

    // MARK: - What is refused

    @Test(arguments: ["application/vnd.oci.image.config.v1+json", "application/vnd.amazon.soci.index.v3+json", "", "application/vnd.amazon.soci.index.v1+json "])
    func anotherKindOfManifestIsNoIndex(type: String) {
        #expect(throws: ManifestError.self) { try decoded(#""config":\#(Self.config(type)),"layers":[\#(Self.entry(Self.layer))]"#) }
        #expect(throws: ManifestError.self) { try decoded(#""artifactType":"\#(type)","config":\#(Self.config("application/vnd.oci.empty.v1+json")),"layers":[]"#) }
    }

    @Test(arguments: [
        #""layers":[]"#, #""config":{},"layers":[]"#, #""config":7,"layers":[]"#, #""config":C,"layers":{}"#, #""config":C,"layers":[7]"#, #""config":C,"layers":[{}]"#,
        #""config":C,"layers":[{"mediaType":"x","digest":"sha256:00","size":1}]"#, #""config":C,"layers":[],"subject":"x""#, #""config":C,"layers":[],"subject":{}"#,
        #""config":C,"layers":[],"artifactType":7"#, #""config":C,"layers":[],"manifests":[]"#, #""manifests":[]"#, #""mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]"#,
    ])
    func whatLacksAFieldOrHasOneOfAnotherTypeIsRefused(fields: String) {
        #expect(throws: ManifestError.self) { try decoded(fields.replacing(":C", with: ":" + Self.config(Self.first))) }
    }

    @Test(arguments: ["-1", "1.5", "18446744073709551616", "null", "\"7\"", "1e99"])
    func aSizeThatIsNoneIsRefused(size: String) {
        #expect(throws: ManifestError.self) { try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(Self.entry(Self.layer, size: size))]"#) }
    }

    @Test func annotationsAreTexts() {
        let entry = Self.entry(Self.layer).replacing(#""\#(Self.layer)"}"#, with: "7}")
        #expect(throws: ManifestError.self) { try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(entry)]"#) }
    }

    @Test func asManyZTOCsAsAnImageHasLayersAreReadAndNoMore() throws {
        func manifest(_ count: Int) throws -> SOCIManifest {
            let layers = (0..<count).map { Self.entry(Digest(of: Array("\($0)".utf8)).description) }
            return try decoded(#""config":\#(Self.config(Self.first)),"layers":[\#(layers.joined(separator: ","))]"#)
        }
        #expect(try manifest(ImageManifest.layerLimit).ztocs.count == ImageManifest.layerLimit)
        #expect(throws: ManifestError.self) { try manifest(ImageManifest.layerLimit + 1) }
        #expect(throws: ManifestError.tooLarge(bytes: UInt64(ManifestDocument.sizeLimit) + 1)) {
            try SOCIManifest(decoding: [UInt8](repeating: UInt8(ascii: " "), count: ManifestDocument.sizeLimit + 1))
        }
    }

    // MARK: - What is written

    @Test func whatIsWrittenIsReadBackAndAlwaysTheSame() throws {
        let digests = try [Self.layer, Self.other, Self.ztoc].map { try #require(Digest($0)) }
        let subject = Descriptor(mediaType: MediaType.dockerManifest, digest: digests[2], size: 300, annotations: ["not": "this"])
        let layers = digests.prefix(2).map { Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $0, size: 5) }
        let ztocs = layers.enumerated().map { (layer: $1, digest: Digest(of: [UInt8($0)]), size: UInt64($0 + 1)) }
        let bytes = try SOCIManifest.encode(subject: subject, ztocs: ztocs, spanSize: 4 << 20, buildTool: "a \"tool\"")
        #expect(try SOCIManifest.encode(subject: subject, ztocs: ztocs, spanSize: 4 << 20, buildTool: "a \"tool\"") == bytes)

        let manifest = try SOCIManifest(decoding: bytes)
        #expect(manifest.subject == Descriptor(mediaType: MediaType.dockerManifest, digest: digests[2], size: 300))
        #expect(manifest.ztocs.count == 2)
        for ztoc in ztocs {
            #expect(manifest.ztocs[ztoc.layer.digest]?.digest == ztoc.digest && manifest.ztocs[ztoc.layer.digest]?.size == ztoc.size)
        }
        guard case .manifest(let plain) = try ManifestDocument(decoding: bytes, mediaType: nil) else { throw NoManifest() }
        #expect(plain.artifactType == Self.first && plain.config.mediaType == Self.first && plain.config.size == 2)
        #expect(plain.annotations == ["com.amazon.soci.build-tool-identifier": "a \"tool\""])
        #expect(plain.layers.compactMap(\.annotations) == digests.prefix(2).map {
            [
                "com.amazon.soci.image-layer-digest": $0.description, "com.amazon.soci.image-layer-mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "com.amazon.soci.span-size": "4194304",
            ]
        })
    }

    private struct NoManifest: Error {}
}

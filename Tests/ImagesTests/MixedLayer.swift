import OCI
import TestSupport

/// A layer with members of every kind, larger than a span may be, and ways to compress it.
struct MixedLayer {
    enum Packing: CaseIterable {
        case plain, gzip, members, zstd, frames

        /// Whether any span can be had from its own range of the blob.
        var servesSpans: Bool { self != .zstd }
    }

    let tar: [UInt8]
    /// Files and their content, by path.
    let files: [[UInt8]: [UInt8]]
    private let cuts: [Int]

    init(_ random: inout SeededGenerator) async throws {
        var files: [[UInt8]: [UInt8]] = [:]
        var members: [TarMember] = [.directory("d"), .file("d/empty", []), .symlink("link", to: "d/f1"), .file(bytes: Array("d/caf".utf8) + [0xe9], [1, 2, 3])]
        // Replaced by a later member: nobody reads its spans.
        members.append(.file("d/replaced", Self.text(8 << 20, &random)))
        for number in 0..<60 { members.append(.file("d/f\(number)", Self.text(Int.random(in: 1...90_000, using: &random), &random))) }
        members.append(.file("d/large", Self.text((6 << 20) + 777, &random)))
        members.append(.hardLink("d/hard", to: "d/large"))
        members.append(.file("d/random", random.bytes((5 << 20) + 1)))
        members.append(.file("d/threshold", Self.text(4 << 20, &random)))
        members.append(.file("d/replaced", Self.text(1000, &random)))
        members.append(.file("d/attributes", "x").with(attribute: "user.note", [0, 255]))
        for member in members where member.kind == .file { files[member.name] = member.content }
        let (sparse, holes) = try await Self.sparse()
        files[Array("holes".utf8)] = holes
        tar = members.tar.dropLast(1024) + sparse
        self.files = files
        cuts = Self.cuts(tar.count, &random)
    }

    /// Bytes that compress as text does, with references far back: pieces of one page.
    private static func text(_ count: Int, _ random: inout SeededGenerator) -> [UInt8] {
        let page = random.bytes(24 << 10)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 300)
        while bytes.count < count {
            let start = Int(random.next() % UInt64(page.count - 300))
            bytes += page[start..<start + 4 + Int(random.next() % 296)]
        }
        return Array(bytes.prefix(count))
    }

    /// A sparse file and a pipe as GNU tar writes them.
    private static func sparse() async throws -> (tar: [UInt8], content: [UInt8]) {
        let directory = try TemporaryDirectory()
        try await Shell.check("sh", ["-ec", """
            cd '\(directory.path)'; mkdir t
            truncate -s 5000000 t/holes; printf head | dd of=t/holes conv=notrunc status=none
            printf middle | dd of=t/holes bs=1 seek=3000000 conv=notrunc status=none
            mkfifo t/pipe
            tar --sparse --format=posix -b 1 -cf l.tar -C t .
            """])
        return (try Shell.contents(ofFile: directory.path + "/l.tar"), try Shell.contents(ofFile: directory.path + "/t/holes"))
    }

    private static func cuts(_ count: Int, _ random: inout SeededGenerator) -> [Int] {
        var cuts: [Int] = [0]
        while let last = cuts.last, last < count { cuts.append(min(count, last + Int.random(in: 1...1_500_000, using: &random))) }
        return cuts
    }

    func packed(_ packing: Packing) async throws -> LayerFixture {
        switch packing {
        case .plain: return .plain(tar: tar)
        case .gzip:
            return LayerFixture(blob: try await Shell.check("gzip", ["-6nc"], input: tar).bytes, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", diffID: Digest(of: tar))
        case .zstd: return try await LayerFixture.zstd(tar: tar)
        case .members, .frames:
            let program = packing == .members ? "gzip" : "zstd"
            var blob: [UInt8] = []
            for (start, end) in zip(cuts, cuts.dropFirst()) {
                blob += try await Shell.check(program, packing == .members ? ["-1nc"] : ["-q", "-1", "-c"], input: Array(tar[start..<end])).bytes
            }
            return LayerFixture(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar+\(program)", diffID: Digest(of: tar))
        }
    }
}

import OCI
@testable import Remote

/// Reads the input as something a registry or a user's file says. Its first byte says what: a document (manifest, index or
/// config), a reference, the headers of an answer, a login file, a token, or addresses.
func fuzzManifest(_ bytes: UnsafeRawBufferPointer) {
    guard let way = bytes.first else { return }
    let rest = Array(bytes.dropFirst())
    let text = String(decoding: rest, as: UTF8.self)
    switch way {
    case UInt8(ascii: "m"): fuzzDocument(rest)
    case UInt8(ascii: "r"): fuzzReference(text)
    case UInt8(ascii: "h"): fuzzHeaders(text)
    case UInt8(ascii: "l"): fuzzLogins(rest)
    case UInt8(ascii: "t"):
        guard let token = AccessToken(decoding: rest) else { return }
        precondition(token.header.utf8.dropFirst(7).allSatisfy { $0 > 0x20 && $0 < 0x7f })
    default: fuzzAddresses(text)
    }
}

private func fuzzDocument(_ bytes: [UInt8]) {
    for type in [nil, MediaType.manifest, MediaType.index] {
        switch try? ManifestDocument(decoding: bytes, mediaType: type) {
        case .manifest(let manifest)?: precondition(manifest.layers.count <= ImageManifest.layerLimit)
        case .index(let index)?:
            for platform in [Platform.host, Platform(os: "linux", architecture: "arm", variant: "v7")] {
                let chosen = index.manifest(for: platform)
                precondition(chosen.map(index.manifests.contains) ?? true)
                for offered in index.platforms { _ = offered.suitability(of: platform) }
            }
        case nil: break
        }
    }
    guard let config = try? ImageConfig(decoding: bytes) else { return }
    precondition(ChainID.chain(of: config.diffIDs).count == config.diffIDs.count)
}

private func fuzzReference(_ text: String) {
    // Whatever is accepted is the same again when it is written and read.
    for reference in [Reference(text), Reference.parse(text, knownHosts: ["local"])].compactMap({ $0 }) {
        precondition(Reference(reference.description) == reference)
        precondition(reference.description.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
    }
    if let platform = Platform(text) { precondition(platform.suitability(of: platform) == 100) }
    _ = Repository.isComponent(Array(text.utf8))
}

private func fuzzHeaders(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    for challenge in Challenge.parse(lines) { precondition(!challenge.scheme.isEmpty) }
    for line in lines {
        if let wait = RetryAfter.duration(line, now: 0) { precondition(wait >= .zero) }
        guard let part = ContentRange(line) else { continue }
        precondition(!part.range.isEmpty && part.total.map { $0 >= part.range.upperBound } ?? true)
        for wanted in [part.range, 0..<10] {
            let answer = try? BlobAnswer.read(
                status: 206, contentRanges: [line], length: nil, retryAfter: nil, wanted: wanted, asked: true, size: max(wanted.upperBound, part.total ?? 0), from: "host")
            precondition(answer == nil || part.range == wanted)
        }
    }
}

private func fuzzLogins(_ bytes: [UInt8]) {
    guard let file = CredentialFile(decoding: bytes) else { return }
    for host in ["a.io", "docker.io", "local:5000"] {
        if case .helper(let name, _, _)? = file.entry(host: host, repository: "team/app") { precondition(CredentialFile.isHelperName(name)) }
    }
}

private func fuzzAddresses(_ text: String) {
    let lines = text.split(separator: "\n", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
    for line in lines {
        if let address = Address(line) {
            precondition(Address(address.url) == address)
            precondition(address.url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } && !address.description.contains("?"))
            for other in lines {
                guard let target = address.resolving(other) else { continue }
                precondition(target.target.hasPrefix("/") && Address(target.url) == target)
            }
            _ = try? ProxyRules(environment: ["all_proxy": lines[0], "no_proxy": lines[lines.count - 1]]).proxy(for: address.origin)
        }
    }
}

#if LARDER_FUZZER
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzzManifest(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
#endif

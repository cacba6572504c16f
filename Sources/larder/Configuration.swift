import FoundationEssentials
import Glibc
import OCI

/// The configuration file: `/etc/larder/config.json` for root, `$XDG_CONFIG_HOME/larder/config.json` for others.
///
/// Every key is optional. An unknown key is an error: a misspelt setting that silently does nothing is worse.
struct ConfigurationFile: Sendable, Equatable {
    struct Host: Sendable, Equatable {
        /// Where the registry really is, such as `http://10.0.0.5:5000`.
        var url: String?
        var mirrors: [String] = []
        var plainHTTP: Bool?
        var caFile: String?
        var clientCertificate: String?
        var clientKey: String?
        /// A directory with OCI layouts in place of a registry.
        var layout: String?
    }

    var store: String?
    var platform: String?
    var allowOther: Bool?
    var passthrough: Bool?
    var ioUring: Bool?
    /// Seconds.
    var fetchTimeout: Double?
    /// Seconds.
    var tagLifetime: Double?
    /// Seconds.
    var changeTimeout: Double?
    /// auto or off.
    var profiles: String?
    /// Whether layers that were read from are completed while nobody waits for content.
    var backgroundFill: Bool?
    /// local, registry or none.
    var indexTrust: String?
    /// Sizes, or shares of the disk: `20g`, `50%`.
    var maxSize, minFree, maxBlobs, maxContent: String?
    var logLevel: String?
    var hosts: [String: Host] = [:]
}

extension ConfigurationFile {
    static func defaultPath(environment: [String: String], isRoot: Bool) -> String {
        if let path = environment["LARDER_CONFIG"], !path.isEmpty { return path }
        if isRoot { return "/etc/larder/config.json" }
        let base = environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? (environment["HOME"] ?? "/") + "/.config"
        return base + "/larder/config.json"
    }

    /// Reads the file; an absent one is an empty one, unless the user named it.
    static func load(_ path: String, mustExist: Bool) throws -> ConfigurationFile {
        guard let data = FileManager.default.contents(atPath: path) else {
            if !mustExist && access(path, F_OK) != 0 { return ConfigurationFile() }
            throw Failure(.usage, "\(path): cannot be read: \(String(cString: strerror(errno)))")
        }
        do {
            return try JSONText.decode(ConfigurationFile.self, from: Array(data))
        } catch let error as UnknownKey {
            throw Failure(.usage, "\(path): unknown key '\(error.key)'; known are \(error.known.joined(separator: ", "))")
        } catch let DecodingError.typeMismatch(type, context) {
            throw Failure(.usage, "\(path): '\(context.codingPath.map(\.stringValue).joined(separator: "."))' must be a \(type)")
        } catch {
            throw Failure(.usage, "\(path): not valid JSON")
        }
    }
}

private struct UnknownKey: Error {
    let key: String
    let known: [String]
}

private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

private func refuseUnknownKeys<Key: CodingKey & CaseIterable>(_ decoder: any Decoder, _ known: Key.Type) throws {
    let names = known.allCases.map(\.stringValue)
    for key in try decoder.container(keyedBy: AnyKey.self).allKeys where !names.contains(key.stringValue) {
        throw UnknownKey(key: (decoder.codingPath + [key]).map(\.stringValue).joined(separator: "."), known: names)
    }
}

extension ConfigurationFile: Decodable {
    private enum Key: String, CodingKey, CaseIterable {
        case store, platform, allowOther, passthrough, ioUring, fetchTimeout, tagLifetime, changeTimeout, profiles, backgroundFill, indexTrust, logLevel, hosts
        case maxSize, minFree, maxBlobs, maxContent
    }

    init(from decoder: any Decoder) throws {
        try refuseUnknownKeys(decoder, Key.self)
        let values = try decoder.container(keyedBy: Key.self)
        store = try values.decodeIfPresent(String.self, forKey: .store)
        platform = try values.decodeIfPresent(String.self, forKey: .platform)
        allowOther = try values.decodeIfPresent(Bool.self, forKey: .allowOther)
        passthrough = try values.decodeIfPresent(Bool.self, forKey: .passthrough)
        ioUring = try values.decodeIfPresent(Bool.self, forKey: .ioUring)
        fetchTimeout = try values.decodeIfPresent(Double.self, forKey: .fetchTimeout)
        tagLifetime = try values.decodeIfPresent(Double.self, forKey: .tagLifetime)
        changeTimeout = try values.decodeIfPresent(Double.self, forKey: .changeTimeout)
        profiles = try values.decodeIfPresent(String.self, forKey: .profiles)
        backgroundFill = try values.decodeIfPresent(Bool.self, forKey: .backgroundFill)
        indexTrust = try values.decodeIfPresent(String.self, forKey: .indexTrust)
        maxSize = try values.decodeIfPresent(String.self, forKey: .maxSize)
        minFree = try values.decodeIfPresent(String.self, forKey: .minFree)
        maxBlobs = try values.decodeIfPresent(String.self, forKey: .maxBlobs)
        maxContent = try values.decodeIfPresent(String.self, forKey: .maxContent)
        logLevel = try values.decodeIfPresent(String.self, forKey: .logLevel)
        hosts = try values.decodeIfPresent([String: Host].self, forKey: .hosts) ?? [:]
    }
}

extension ConfigurationFile.Host: Decodable {
    private enum Key: String, CodingKey, CaseIterable {
        case url, mirrors, plainHTTP, caFile, clientCertificate, clientKey, layout
    }

    init(from decoder: any Decoder) throws {
        try refuseUnknownKeys(decoder, Key.self)
        let values = try decoder.container(keyedBy: Key.self)
        url = try values.decodeIfPresent(String.self, forKey: .url)
        mirrors = try values.decodeIfPresent([String].self, forKey: .mirrors) ?? []
        plainHTTP = try values.decodeIfPresent(Bool.self, forKey: .plainHTTP)
        caFile = try values.decodeIfPresent(String.self, forKey: .caFile)
        clientCertificate = try values.decodeIfPresent(String.self, forKey: .clientCertificate)
        clientKey = try values.decodeIfPresent(String.self, forKey: .clientKey)
        layout = try values.decodeIfPresent(String.self, forKey: .layout)
    }
}

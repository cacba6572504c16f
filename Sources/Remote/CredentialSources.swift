import Glibc
import LinuxIO
import Logging

/// The places logins are kept in, in the order they are asked: `DOCKER_AUTH_CONFIG`, `REGISTRY_AUTH_FILE`, docker's
/// config.json, containers' auth.json. Read anew each time, so that a `docker login` counts at once.
struct CredentialSources: Sendable {
    let environment: [String: String]
    let helperTimeout: Duration
    let logger: Logger

    /// The login for a repository; nil where no place has one. A place that cannot be read is logged and passed over.
    func credential(host: String, repository: String) async throws(Fault) -> Credential? {
        for place in places() {
            switch place.file.entry(host: host, repository: repository) {
            case nil:
                continue
            case .credential(let credential):
                return credential
            case .helper(let name, let server, let otherwise):
                do {
                    let helper = CredentialHelper(name: name, environment: environment, timeout: helperTimeout)
                    if let credential = try await helper.credential(for: server) ?? otherwise { return credential }
                } catch {
                    guard error.kind != .cancelled else { throw error }
                    logger.warning("\(error.reason)", metadata: ["file": "\(place.name)"])
                    if let otherwise { return otherwise }
                }
            }
        }
        return nil
    }

    private func places() -> [(name: String, file: CredentialFile)] {
        var places: [(name: String, file: CredentialFile)] = []
        if let text = value("DOCKER_AUTH_CONFIG") {
            add("DOCKER_AUTH_CONFIG", Array(text.utf8), to: &places)
        }
        for path in paths() {
            do {
                guard let bytes = try read(path) else { continue }
                add(path, bytes, to: &places)
            } catch {
                logger.warning("cannot read logins: \(error)")
            }
        }
        return places
    }

    private func add(_ name: String, _ bytes: [UInt8], to places: inout [(name: String, file: CredentialFile)]) {
        if let file = CredentialFile(decoding: bytes) {
            places.append((name, file))
        } else {
            logger.warning("not a file with logins", metadata: ["file": "\(name)"])
        }
    }

    private func paths() -> [String] {
        var paths: [String] = []
        if let file = value("REGISTRY_AUTH_FILE") { paths.append(file) }
        let home = value("HOME")
        if let directory = value("DOCKER_CONFIG") ?? home.map({ $0 + "/.docker" }) { paths.append(directory + "/config.json") }
        if let directory = value("XDG_RUNTIME_DIR") { paths.append(directory + "/containers/auth.json") }
        if let directory = value("XDG_CONFIG_HOME") ?? home.map({ $0 + "/.config" }) { paths.append(directory + "/containers/auth.json") }
        return paths
    }

    private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

    private func read(_ path: String) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) {
            // Not blocking: a FIFO there must not hang the task.
            return try OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK).readAll(limit: CredentialFile.sizeLimit)
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR { return nil }
            throw error
        }
    }
}

import FoundationEssentials
import Subprocess

/// A program `docker-credential-NAME` that keeps logins elsewhere, such as in a keychain (docker-credential-helpers).
struct CredentialHelper: Sendable {
    let name: String
    let environment: [String: String]
    let timeout: Duration

    private static let outputLimit = 64 << 10

    /// Asks for the login of `server`; nil where the helper has none. What the helper prints never gets into an error.
    func credential(for server: String) async throws(Fault) -> Credential? {
        let program = "docker-credential-" + name
        let (status, output) = try await run(program, input: server)
        guard status else {
            let text = String(decoding: output, as: UTF8.self)
            if text.contains("credentials not found in native keychain") { return nil }
            throw Fault(.configuration, "the credential helper \(program) failed for \(server)")
        }
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(output)), !answer.Secret.isEmpty else {
            throw Fault(.configuration, "the credential helper \(program) gave no readable answer for \(server)")
        }
        return answer.Username == "<token>" ? .identityToken(answer.Secret) : .password(user: answer.Username, secret: answer.Secret)
    }

    private struct Answer: Decodable {
        var Username: String
        var Secret: String
    }

    private func run(_ program: String, input: String) async throws(Fault) -> (succeeded: Bool, output: [UInt8]) {
        let variables = environment.reduce(into: [Environment.Key: String]()) { all, pair in
            if let key = Environment.Key(rawValue: pair.key) { all[key] = pair.value }
        }
        do {
            return try await withThrowingTaskGroup(of: (Bool, [UInt8])?.self) { group in
                group.addTask {
                    let result = try await Subprocess.run(
                        .name(program), arguments: ["get"], environment: .custom(variables), input: .string(input),
                        output: .bytes(limit: Self.outputLimit), error: .discarded)
                    return (result.terminationStatus.isSuccess, result.standardOutput)
                }
                group.addTask { [timeout] in
                    try await Task.sleep(for: timeout)
                    return nil
                }
                // Cancelling the program's task kills the program.
                defer { group.cancelAll() }
                guard let first = try await group.next(), let result = first else {
                    throw Fault(.configuration, "the credential helper \(program) did not answer within \(timeout)")
                }
                return result
            }
        } catch let fault as Fault {
            throw fault
        } catch is CancellationError {
            throw .cancelled
        } catch {
            throw Task.isCancelled ? .cancelled : Fault(.configuration, "the credential helper \(program) cannot be run; is it on PATH?")
        }
    }
}

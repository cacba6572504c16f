/// What is wrong with a `--mount`, `--secret` or `--ssh` value. Where BuildKit has the same error, this is its text.
public struct MountSyntaxError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

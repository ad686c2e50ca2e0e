//! The functions that templates may call, by name and number of arguments.

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    At,
    Base64Decode,
    Base64Encode,
    Base64UrlDecode,
    Base64UrlEncode,
    Body,
    Capitalize,
    ClusterMetadata,
    Context,
    Default,
    DivisibleBy,
    DynamicMetadata,
    Env,
    Even,
    Exists,
    ExistsIn,
    Extraction,
    First,
    Float,
    Header,
    Int,
    IsArray,
    IsBoolean,
    IsFloat,
    IsInteger,
    IsNumber,
    IsObject,
    IsString,
    Join,
    Last,
    Length,
    Lower,
    Max,
    Min,
    Odd,
    Range,
    RawString,
    Replace,
    ReplaceWithRandom,
    RequestHeader,
    Round,
    Sort,
    Substring,
    Trim,
    Upper,
    WordCount,
}

/// (name, fewest and most arguments, function).
const FUNCTIONS: &[(&str, usize, usize, Function)] = &[
    ("at", 2, 2, Function::At),
    ("base64_decode", 1, 1, Function::Base64Decode),
    ("base64_encode", 1, 1, Function::Base64Encode),
    ("base64url_decode", 1, 1, Function::Base64UrlDecode),
    ("base64url_encode", 1, 1, Function::Base64UrlEncode),
    ("body", 0, 0, Function::Body),
    ("capitalize", 1, 1, Function::Capitalize),
    // Upstreams carry no metadata here, and the metadata of endpoints is for the stage after routing.
    ("clusterMetadata", 1, 1, Function::ClusterMetadata),
    ("cluster_metadata", 1, 2, Function::ClusterMetadata),
    ("host_metadata", 1, 2, Function::ClusterMetadata),
    ("context", 0, 0, Function::Context),
    ("default", 2, 2, Function::Default),
    ("divisibleBy", 2, 2, Function::DivisibleBy),
    ("dynamic_metadata", 1, 2, Function::DynamicMetadata),
    ("env", 1, 1, Function::Env),
    ("even", 1, 1, Function::Even),
    ("exists", 1, 1, Function::Exists),
    ("existsIn", 2, 2, Function::ExistsIn),
    ("extraction", 1, 1, Function::Extraction),
    ("first", 1, 1, Function::First),
    ("float", 1, 1, Function::Float),
    ("header", 1, 1, Function::Header),
    ("int", 1, 1, Function::Int),
    ("isArray", 1, 1, Function::IsArray),
    ("isBoolean", 1, 1, Function::IsBoolean),
    ("isFloat", 1, 1, Function::IsFloat),
    ("isInteger", 1, 1, Function::IsInteger),
    ("isNumber", 1, 1, Function::IsNumber),
    ("isObject", 1, 1, Function::IsObject),
    ("isString", 1, 1, Function::IsString),
    ("join", 2, 2, Function::Join),
    ("last", 1, 1, Function::Last),
    ("length", 1, 1, Function::Length),
    ("lower", 1, 1, Function::Lower),
    ("max", 1, 1, Function::Max),
    ("min", 1, 1, Function::Min),
    ("odd", 1, 1, Function::Odd),
    ("range", 1, 1, Function::Range),
    ("raw_string", 1, 1, Function::RawString),
    ("replace", 3, 3, Function::Replace),
    ("replace_with_random", 2, 2, Function::ReplaceWithRandom),
    ("request_header", 1, 1, Function::RequestHeader),
    ("round", 2, 2, Function::Round),
    ("sort", 1, 1, Function::Sort),
    ("substring", 2, 3, Function::Substring),
    ("trim", 1, 1, Function::Trim),
    ("upper", 1, 1, Function::Upper),
    ("word_count", 1, 1, Function::WordCount),
];

impl Function {
    /// The function of that name for so many arguments, or what is wrong.
    pub(super) fn find(name: &str, arguments: usize) -> Result<Self, String> {
        let Some((_, least, most, function)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            return Err(match name {
                "data_source" => "`data_source` is not possible: there are no named data sources".to_owned(),
                _ => format!("there is no function `{name}`"),
            });
        };
        if (*least..=*most).contains(&arguments) {
            return Ok(*function);
        }
        let wanted = match (least, most) {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        Err(format!("`{name}` takes {wanted}, found {arguments}"))
    }

    /// As users write it.
    pub(super) fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, _, _, function)| *function == self).map(|(name, ..)| *name).unwrap_or("?")
    }
}
